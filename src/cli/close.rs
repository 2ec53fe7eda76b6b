//! `close`: for the early unit, before the network comes up.

use super::{Exit, Globals, context, logging};
use crate::network;

pub async fn close(globals: &Globals) -> Exit {
    logging::start();
    let host = match context::host(globals) {
        Ok(host) => host,
        Err(exit) => return exit,
    };
    match network::close(&host).await {
        Ok(_) => Exit::Done,
        Err(error) => Exit::answer(globals.json, &error),
    }
}
