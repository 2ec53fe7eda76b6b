//! The judge judged: a rogue commits every forbidden act inside a real machine, by real calls, packets and writes,
//! and the verdict must name it. Beside each stands the honest act that looks most like it, which must not be named.
//!
//! To add a rule to the judge: its rogue here.

mod acts;
mod converge;
mod door;
mod rogue;
mod secrets;
mod walls;
