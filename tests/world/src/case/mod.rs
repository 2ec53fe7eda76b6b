//! One end-to-end case: a folder in `tests/cases` that says what is there, what goes wrong, and what must come
//! of it.
//!
//! ```text
//! case.toml ──▶ Case ──stage──▶ world (cloud, store, VPC, machine) ──acts──▶ agent runs ──▶ Outcome
//!    │                                                                         judge ──────▶ forbidden
//!    └── without its `[trouble]` table: the control, which must reach serving
//! ```
//!
//! To add a case: a folder with `case.toml`; `about` in one sentence, the trouble in `[trouble]`, the
//! expectation in `[expect]`, and a row in `docs/features.md`.

mod acts;
mod expect;
mod lives;
mod outcome;
mod run;
mod script;
mod sights;
mod spec;

pub(crate) use acts::act as look;
pub(crate) use expect::counts;
pub use outcome::{Outcome, RestoredOutcome, StepOutcome, WorldOutcome};
pub(crate) use run::perform;
pub use run::{Played, calls, count_everything, play};
pub use script::{Act, Deed, LATER, Meanwhile, Until};
pub use sights::is_call;
pub use spec::{Case, Expect, Scene, lay, load_all, take_away};
