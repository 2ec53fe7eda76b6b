//! The pages of section 8, and the list of all.

use std::error::Error;

use clap::Command;
use clap_mangen::Man;

use super::{prose, reference, text};

pub const NAME: &str = "weaviate-provisioner";

/// One page of the manual.
pub struct Page {
    pub file: String,
    pub text: String,
}

/// Exit codes, each with its meaning.
type Codes<'a> = &'a [(u8, &'a str)];

/// Every page.
pub fn all(command: &Command, codes: Codes<'_>, date: &str) -> Result<Vec<Page>, Box<dyn Error>> {
    // `help` is clap's own and has no page.
    let mut command = command
        .clone()
        .disable_help_subcommand(true)
        .subcommand_help_heading("COMMANDS")
        .subcommand_value_name("command");
    command.build();
    let mut pages = vec![program(&command, codes, date)?, reference::page(&command, date)?];
    for one in command.get_subcommands() {
        pages.push(of_command(one, &command, codes, date)?);
    }
    Ok(pages)
}

fn program(command: &Command, codes: Codes<'_>, date: &str) -> Result<Page, Box<dyn Error>> {
    let man = man(command.clone(), command, date);
    let commands = command.get_subcommands().map(|one| format!("{NAME}-{}(8)", one.get_name()));
    let others: Vec<String> = commands.chain(prose::SEE_ALSO.map(str::to_owned)).collect();
    let parts = [
        text::rendered(|w| man.render_title(w))?,
        text::rendered(|w| man.render_name_section(w))?,
        text::rendered(|w| man.render_synopsis_section(w))?,
        text::of(&text::paragraphs("DESCRIPTION", &prose::PROGRAM))?,
        text::rendered(|w| man.render_options_section(w))?,
        text::rendered(|w| man.render_subcommands_section(w))?,
        exit_status(codes)?,
        text::of(&text::entries("FILES", prose::FILES))?,
        text::of(&text::entries("ENVIRONMENT", prose::ENVIRONMENT))?,
        text::of(&text::see_also(&others))?,
    ];
    Ok(Page { file: format!("{NAME}.8"), text: whole(&parts) })
}

fn of_command(
    one: &Command,
    program: &Command,
    codes: Codes<'_>,
    date: &str,
) -> Result<Page, Box<dyn Error>> {
    let name = one.get_name();
    let man = man(one.clone(), program, date);
    let more = prose::of_command(name).ok_or(format!("prose.rs says nothing about {name}"))?;
    let others = [format!("{NAME}(8)"), format!("{NAME}.toml(5)")];
    let parts = [
        text::rendered(|w| man.render_title(w))?,
        text::rendered(|w| man.render_name_section(w))?,
        text::rendered(|w| man.render_synopsis_section(w))?,
        text::of(&text::paragraphs("DESCRIPTION", more))?,
        text::rendered(|w| man.render_options_section(w))?,
        exit_status(codes)?,
        text::of(&text::see_also(&others))?,
    ];
    Ok(Page { file: format!("{NAME}-{name}.8"), text: whole(&parts) })
}

fn man(command: Command, program: &Command, date: &str) -> Man {
    Man::new(command).section("8").date(date).source(source(program)).manual(prose::MANUAL)
}

/// Program and version, for the foot of the page.
pub fn source(program: &Command) -> String {
    format!("{NAME} {}", program.get_version().unwrap_or_default())
}

fn exit_status(codes: Codes<'_>) -> Result<String, Box<dyn Error>> {
    let codes: Vec<(String, &str)> =
        codes.iter().map(|(code, meaning)| (code.to_string(), *meaning)).collect();
    let entries = codes.iter().map(|(code, meaning)| (code.as_str(), *meaning));
    text::of(&text::entries("EXIT STATUS", entries))
}

/// The page of its parts.
pub fn whole(parts: &[String]) -> String {
    text::DEFINITIONS.to_owned() + &text::emboldened(&parts.concat())
}
