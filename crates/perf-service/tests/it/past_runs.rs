//! `perf-service list`, `report` and `run --out`.

use serde_json::Value;

use crate::k6;
use crate::service::{Service, command, run};
use crate::shop::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn files_that_have_grown_old_go_though_no_run_ends() {
    let data = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        assert_eq!(run(command(data.path(), "local=http://127.0.0.1:1").args(["run", "smoke"])).0, 1);
    }
    let ledger = rusqlite::Connection::open(data.path().join("runs.sqlite")).unwrap();
    let folder = |order: &str| {
        let id = format!("SELECT id FROM runs ORDER BY seq {order} LIMIT 1");
        data.path().join("runs").join(ledger.query_row(&id, [], |row| row.get::<_, String>(0)).unwrap())
    };
    let (old, last) = (folder("ASC"), folder("DESC"));
    assert!(old.is_dir() && last.is_dir());
    ledger.execute("UPDATE runs SET finished_at = 0", []).unwrap();
    let _service = Service::start(&mut command(data.path(), "local=http://127.0.0.1:1")).await;
    k6::wait_for("the removal of old files", || (!old.exists()).then_some(()));
    assert!(last.is_dir(), "somebody may be about to read it");
}

#[tokio::test(flavor = "multi_thread")]
async fn past_runs_are_listed_and_their_reports_found_by_name() {
    let (data, shop, out) = (tempfile::tempdir().unwrap(), Shop::open().await, tempfile::tempdir().unwrap());
    let told = |arguments: &[&str]| run(command(data.path(), &shop.targets()).args(arguments));
    let (code, none, _) = told(&["list"]);
    assert!(code == 0 && none.contains("no runs yet"), "{none}");
    assert_eq!(told(&["report", "latest"]).0, 2);

    let copies = out.path().join("made/for/it");
    let smoke = ["run", "smoke", "--duration", "2s", "--max-p95-ms", "60000", "--json", "--out"];
    let (code, first, err) = told(&[&smoke[..], &[copies.to_str().unwrap()]].concat());
    assert_eq!(code, 0, "{first}{err}");
    let first: Value = serde_json::from_str(&first).unwrap();
    let copied = |name: &str| std::fs::read(copies.join(name)).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&copied("run.json")).unwrap(), first);
    let results: Value = serde_json::from_slice(&copied("results.json")).unwrap();
    assert_eq!(results["summary"], first["summary"]);
    assert!(copied("report.html").starts_with(b"<!"));
    // A broken one, newer.
    let (code, ..) = run(command(data.path(), "local=http://127.0.0.1:1").args(["run", "smoke"]));
    assert_eq!(code, 1);

    let id = first["id"].as_str().unwrap();
    let (code, table, _) = told(&["list"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(code == 0 && lines.len() == 3 && lines[1].contains(" broken "), "{table}");
    assert!(lines[2].starts_with(id) && lines[2].contains(" passed "), "{table}");
    let (code, page, _) = told(&["list", "--limit", "1", "--json"]);
    let page: Value = serde_json::from_str(&page).unwrap();
    assert_eq!((code, &page["total"], page["items"].as_array().unwrap().len()), (0, &2.into(), 1));
    assert_eq!(page["nextCursor"], page["items"][0]["id"]);

    let (code, text, _) = told(&["report", id]);
    assert!(code == 0 && text.contains("PASSED") && text.contains("report.html"), "{text}");
    let (_, figures, _) = told(&["report", id, "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&figures).unwrap(), results);
    let page = out.path().join("page.html");
    assert_eq!(told(&["report", id, "--out", page.to_str().unwrap()]).0, 0);
    assert_eq!(std::fs::read(&page).unwrap(), copied("report.html"));
    assert_eq!(told(&["report", id, "--out", out.path().to_str().unwrap()]).0, 0);
    assert!(out.path().join(format!("{id}.html")).is_file());
    let (code, _, err) = told(&["report", id, "--out", page.join("under-a-file").to_str().unwrap()]);
    assert!(code == 1 && err.contains("give --out another path"), "{err}");

    let (code, text, _) = told(&["report", "latest"]);
    assert!(code == 1 && text.contains("BROKEN"), "what became of it, without a report: {text}");
    // Both ids begin with the same milliseconds' high digits.
    let (code, _, err) = told(&["report", &id[..3]]);
    assert!(code == 2 && err.contains("give more of the id"), "{err}");
    for nobody in ["01890000-0000-7000-8000-000000000000", "ffff", "../../etc/passwd", "zzz", "<script>", ""]
    {
        assert_eq!(told(&["report", nobody]).0, 2, "{nobody}");
    }
    assert_eq!((told(&["list", "--limit", "0"]).0, told(&["list", "--limit", "x"]).0), (2, 2));
}
