//! What holds for the crate as a whole: all error sentences, the table of features, the direction of imports, the
//! manual.
//!
//! To add an error variant: its row in `errors` (nothing compiles before), `cargo insta review` or
//! `INSTA_UPDATE=always`, and its row in `docs/features.md`.

pub(crate) mod alone;
mod architecture;
mod deadlines;
mod documents;
mod drawing;
mod errors;
mod errors_of_backups;
mod evidence;
mod features;
mod handed_on;
pub(crate) mod make;
mod refusals;
pub(crate) mod rows;
mod sentences;
