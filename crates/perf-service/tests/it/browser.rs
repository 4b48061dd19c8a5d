//! The report of a failed run as a browser opens it: no error in its console, no request to anywhere,
//! and hostile names as text.
//!
//! `CHROMIUM_BIN` has to name a Chromium or a Chrome.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use perf_service::report::{self, TraceLinks};
use perf_service::results::Results;

use crate::service::{command, run};
use crate::shop::Shop;

/// Long enough for the smallest of hosts; a window that is never reached costs nothing.
const HEARING: Duration = Duration::from_secs(5);

fn binary() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "tests are told by the environment where the browser is")]
    let given = std::env::var_os("CHROMIUM_BIN");
    let binary = given.map(PathBuf::from).filter(|path| path.is_file());
    binary.expect("CHROMIUM_BIN names no file: install Chromium or Chrome and set it to the program")
}

/// What a page did in a browser.
struct Opened {
    /// The page after its scripts ran.
    dom: String,
    /// Lines of its console.
    console: Vec<String>,
    /// First lines of what was asked of the network; all of it goes to a proxy that only listens.
    requests: Vec<String>,
}

/// Updates, the time, the account: asked for by an empty page too. What pages load from there is not.
fn is_the_browsers_own(line: &str) -> bool {
    let own = [".google.com", ".googleapis.com", ".gvt1.com"].iter().any(|host| line.contains(host));
    own && !["fonts.", "ajax.", "www."].iter().any(|host| line.contains(host))
}

/// Opens a page in a fresh browser, 400 pixels wide.
fn open(page: &Path) -> Opened {
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = proxy.local_addr().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&heard);
    std::thread::spawn(move || {
        for connection in proxy.incoming() {
            let Ok(mut connection) = connection else { return };
            connection.set_read_timeout(Some(HEARING)).unwrap();
            let mut begin = [0; 512];
            let read = connection.read(&mut begin).unwrap_or_default();
            let line = String::from_utf8_lossy(&begin[..read]).lines().next().unwrap_or_default().to_owned();
            into.lock().unwrap().push(line);
        }
    });
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(binary())
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=400,900",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
        ])
        .args(["--enable-logging=stderr", "--v=0", "--virtual-time-budget=3000", "--dump-dom"])
        // `<-loopback>`: also what is on this machine goes by the proxy.
        .args([format!("--proxy-server=http://{address}"), "--proxy-bypass-list=<-loopback>".to_owned()])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let console = log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    let requests = heard.lock().unwrap().iter().filter(|line| !is_the_browsers_own(line)).cloned().collect();
    Opened { dom: String::from_utf8(output.stdout).unwrap(), console, requests }
}

#[test]
fn a_page_that_does_wrong_is_seen_to_do_it() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    std::fs::write(
        &page,
        "<!DOCTYPE html><p id=a></p><script>console.error('wrong');document.getElementById('a').textContent='ran'</script>\
         <img src=http://shop.example/pixel>",
    )
    .unwrap();
    let opened = open(&page);
    assert!(opened.dom.contains(">ran<"), "{}", opened.dom);
    assert!(opened.console.iter().any(|line| line.contains("wrong")), "{:?}", opened.console);
    assert!(opened.requests.iter().any(|line| line.contains("pixel")), "{:?}", opened.requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_of_a_failed_run_opens_without_errors_and_asks_for_nothing() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let (code, out, err) = run(command(data.path(), &shop.targets()).args([
        "run",
        "smoke",
        "--duration",
        "3s",
        "--max-p95-ms",
        "0.001",
    ]));
    assert_eq!(code, 99, "{out}{err}");
    let folder = crate::k6::run_folders(data.path()).pop().unwrap();
    let real = folder.join("report.html").canonicalize().unwrap();
    let results: Results =
        serde_json::from_slice(&std::fs::read(folder.join("results.json")).unwrap()).unwrap();
    assert_eq!(results.broken.len(), 1);
    let worst = &results.broken[0].worst;
    assert!(worst.len() == 10 && worst.iter().all(|request| request.trace_id.is_some()), "{worst:?}");
    assert!(worst.iter().all(|request| !request.name.contains("generate-summary")), "{worst:?}");

    let mut hostile = results.clone();
    hostile.scenario = "<script>document.title='taken'</script><img src=http://shop.example/x>".to_owned();
    hostile.endpoints[0].name = "</script><svg onload=alert(1)>".to_owned();
    let traces = TraceLinks::parse("http://127.0.0.1:16686/trace/{traceId}").unwrap();
    let hostile_page = data.path().join("hostile.html");
    std::fs::write(&hostile_page, report::render(&hostile, Some(&traces)).unwrap()).unwrap();

    for page in [&real, &hostile_page] {
        let opened = open(page);
        assert!(opened.console.is_empty(), "{:?}", opened.console);
        assert!(opened.requests.is_empty(), "{:?}", opened.requests);
        assert!(opened.dom.contains(r#"class="bar without-llm""#), "the histogram is drawn");
        assert!(opened.dom.contains(r#"class="line p95""#), "and the charts");
        assert!(!opened.dom.contains("<title>taken"));
    }
    let text = open(&hostile_page).dom;
    assert!(text.contains("&lt;script&gt;document.title"), "a name shows as text");
}
