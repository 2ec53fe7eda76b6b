//! `close`: for the early unit, before the network comes up, and for a person at three in the morning. It needs
//! neither the journal, which a `run` may hold, nor a configuration that can be read.

use super::{Exit, Globals, context, logging};
use crate::config;
use crate::explain::Explain as _;
use crate::network;

pub async fn close(globals: &Globals) -> Exit {
    logging::start();
    let settings = match config::load(&globals.config) {
        Ok(settings) => Some(settings),
        Err(error) => {
            eprintln!("{error}.\n{}\nBoth ports of every address are closed instead.", error.remedy());
            None
        }
    };
    match network::close_early(settings.as_ref(), &context::roots(globals)).await {
        Ok(_) => Exit::Done,
        Err(error) => Exit::answer(globals.json, &error),
    }
}
