//! The binary: exit codes, its health check, and stopping on a signal.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

/// The binary, with nothing of this process's environment.
fn simulator(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_llm-simulator"));
    command.env_clear().args(arguments).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = simulator(arguments).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

/// Starts one on a free port.
pub fn serve() -> (Child, String) {
    let mut child = simulator(&["--http-port", "0"]).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let line = log.find(|line| line.contains("listening")).expect("it says where it listens");
    let (_, address) = line.split_once("127.0.0.1:").unwrap();
    let port = address.chars().take_while(char::is_ascii_digit).collect();
    // What it says later is read by nobody, but the pipe has to stay open.
    std::thread::spawn(move || log.for_each(drop));
    (child, port)
}

#[test]
fn it_serves_is_alive_and_stops_on_a_signal() {
    let (mut child, port) = serve();
    let alive = run(&["health", "--http-port", &port]);
    let taken = run(&["serve", "--http-port", &port]);
    let stopped = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    assert!(stopped.success() && status.success(), "{status}");
    assert_eq!(alive, (Some(0), String::new()));
    assert_eq!(taken.0, Some(1));
    assert!(taken.1.contains("is in use"), "{}", taken.1);
    let (code, said) = run(&["health", "--http-port", &port]);
    assert!(code == Some(1) && said.contains("does not answer"), "{said}");
}

#[test]
fn mistakes_are_told_together_with_exit_code_2() {
    let (code, said) = run(&["--error-rate", "3", "--http-port", "x"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("HTTP_PORT") && said.contains("SIM_ERROR_RATE"), "{said}");
    assert_eq!(run(&["--nonsense"]).0, Some(2));
    assert_eq!(run(&["--help"]).0, Some(0));
    let (code, said) = run(&["--log-filter", "a=b=c"]);
    assert!(code == Some(2) && said.contains("LOG_FILTER"), "{said}");
}
