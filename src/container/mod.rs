//! The container: its image, its specification, its life.

mod settings;

pub use settings::{Keys, OWNED_ENVIRONMENT, Oidc, Settings};
