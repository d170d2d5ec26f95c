//! What every command says about itself.

use clap::{Command, CommandFactory};
use headgate_operator::cli::Cli;

use super::headgate;

#[test]
fn every_command_explains_itself() {
    let mut root = Cli::command();
    root.build();
    let mut commands = Vec::new();
    collect(&root, &mut commands);
    assert!(commands.len() > 30, "{} commands", commands.len());
    for (name, mut command) in commands {
        let help = command.render_long_help().to_string();
        let is_leaf = !command.has_subcommands();
        assert!(!is_leaf || help.contains("Example"), "`{name}` has no example");
        insta::assert_snapshot!(name.replace(' ', "-"), help);
    }
}

/// Every command below `command`, with its whole name.
fn collect(command: &Command, into: &mut Vec<(String, Command)>) {
    let name = command.get_bin_name().unwrap_or("headgate").to_owned();
    into.push((name, command.clone()));
    for below in command
        .get_subcommands()
        .filter(|below| below.get_name() != "help")
    {
        collect(below, into);
    }
}

#[tokio::test]
async fn help_is_data_and_a_wrong_argument_is_exit_code_2() {
    let help = headgate(&[], &["--help"]).await;
    assert!(help.code(0).stdout.contains("Exit codes"));
    let wrong = headgate(&[], &["dlq", "lost"]).await;
    assert_eq!(
        (wrong.code(2).stdout.as_str(), wrong.stderr.is_empty()),
        ("", false)
    );
    headgate(&[], &["dlq", "show", "1"]).await.code(2).says("UUID");
    headgate(&[], &["lag"])
        .await
        .code(2)
        .says("HEADGATE_OPERATOR_TOKEN is not set");
}

#[tokio::test]
async fn a_completion_script_names_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = headgate(&[], &["completion", shell]).await;
        assert!(script.code(0).stdout.contains("reconcile"), "{shell}");
    }
}
