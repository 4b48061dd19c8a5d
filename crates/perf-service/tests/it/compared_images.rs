//! Builds that are images, compared: started by perf-service in a Docker daemon, from the same state, and
//! nothing left of them. The daemon is that of `docker.rs`; the image is made of the binary beside ours.

use std::path::Path;
use std::process::Command;

use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListContainersOptionsBuilder, RemoveImageOptionsBuilder,
};
use bollard::{Docker, body_full};
use futures::StreamExt;
use rustix::process::Signal;
use serde_json::Value;

use crate::backend::binary;
use crate::docker::{daemon, host, volume};
use crate::k6;
use crate::service::{Running, command, run};

const IMAGE: &str = "bookstore-api:in-tests";
const LIBRARIES: &str = "lib64";

/// An image of nothing but the binary, what it is linked to, and the certificates that TLS trusts.
async fn image(docker: &Docker) -> String {
    let api = binary("BOOKSTORE_API_BIN", "bookstore-api");
    let linked = Command::new("ldd").arg(&api).output().unwrap();
    let linked = String::from_utf8(linked.stdout).unwrap();
    let libraries: Vec<&Path> =
        linked.split_whitespace().filter(|word| word.starts_with('/')).map(Path::new).collect();
    let loader = libraries.iter().find(|path| path.to_str().unwrap().contains("/ld-")).unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    archive.sparse(false);
    archive.append_path_with_name(&api, "bookstore-api").unwrap();
    for library in &libraries {
        let name = Path::new(LIBRARIES).join(library.file_name().unwrap());
        archive.append_path_with_name(library.canonicalize().unwrap(), name).unwrap();
    }
    let certificates = "etc/ssl/certs/ca-certificates.crt";
    archive.append_path_with_name(Path::new("/").join(certificates), certificates).unwrap();
    let archive = archive.into_inner().unwrap();
    let entry = format!(
        r#"ENTRYPOINT ["/{LIBRARIES}/{}","--library-path","/{LIBRARIES}","/bookstore-api"]"#,
        loader.file_name().unwrap().to_str().unwrap()
    );
    let (repository, tag) = IMAGE.split_once(':').unwrap();
    let options = CreateImageOptionsBuilder::new()
        .from_src("-")
        .repo(repository)
        .tag(tag)
        .changes(vec![entry, "USER 65532:65532".to_owned()])
        .build();
    let mut steps = docker.create_image(Some(options), Some(body_full(archive.into())), None);
    while let Some(step) = steps.next().await {
        step.unwrap();
    }
    format!("image:{IMAGE}")
}

/// Ids of the containers of builds; no other test has any.
async fn containers(docker: &Docker) -> Vec<String> {
    let filters = std::collections::HashMap::from([("label", vec!["bookstore.build"])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let listed = docker.list_containers(Some(options)).await.unwrap();
    listed.into_iter().filter_map(|container| container.id).collect()
}

fn compare(data: &Path, image: &str) -> Command {
    let mut command = command(data, "none=http://127.0.0.1:1");
    command.env("DOCKER_HOST", host()).args(["compare", image, image, "--env", "LLM_PROVIDER=simulated"]);
    command.args(["--duration", "1s", "--users", "2", "--metric", "failedRate", "--json"]);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn real_docker_images_are_compared_and_a_killed_comparison_is_cleaned_up() {
    let docker = daemon().await;
    let image = image(&docker).await;
    let data = tempfile::tempdir().unwrap();

    // Killed in the middle: the next one finds what it left.
    let killed = Running::start(&mut compare(data.path(), &image));
    k6::busy_run(data.path());
    killed.signal(Signal::KILL);
    killed.end();
    let left = containers(&docker).await;
    assert_eq!(left.len(), 1);
    let volume = volume(&docker.inspect_container(&left[0], None).await.unwrap());
    docker.inspect_volume(&volume).await.unwrap();

    let state = tempfile::tempdir().unwrap();
    std::fs::write(state.path().join("note"), "copied").unwrap();
    let mut again = compare(data.path(), &image);
    again.args(["--pairs", "2", "--candidate-env", "LLM_DAILY_BUDGET_USD=none", "--env", "HOME"]);
    let (code, out, err) = run(again.arg("--state").arg(state.path()));
    let told: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    // Two pairs are never enough.
    assert_eq!((code, &told["state"]), (3, &"finished".into()), "{out}{err}");
    let build = |side: &str| told[side].as_str().unwrap().to_owned();
    assert!(build("baselineBuild").starts_with("image:bookstore-api:in-tests ("), "{told}");
    assert!(build("baselineBuild").ends_with(") with LLM_PROVIDER=simulated HOME"), "{told}");
    assert!(build("candidateBuild").ends_with(" LLM_DAILY_BUDGET_USD=none"), "{told}");
    assert_eq!(told["simulated"], true);
    assert!(containers(&docker).await.is_empty());
    assert!(docker.inspect_volume(&volume).await.is_err(), "its volume is left");
    assert_eq!(std::fs::read_dir(data.path().join("builds")).unwrap().count(), 0);

    // One that does not come up is told with its last words.
    let (code, out, err) =
        run(compare(data.path(), &image).args(["--pairs", "2", "--candidate-env", "LLM_PROVIDER=nosuch"]));
    assert_eq!(code, 1, "{out}{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.contains("candidate cannot be made ready: it ended (exit status: 2)"), "{reason}");
    assert!(containers(&docker).await.is_empty());
    let (code, out, err) = run(&mut compare(data.path(), "image:bookstore-api:nosuch"));
    assert!(code == 2 && err.contains("bookstore-api:nosuch"), "{out}{err}");
    docker.remove_image(IMAGE, Some(RemoveImageOptionsBuilder::new().build()), None).await.unwrap();
}
