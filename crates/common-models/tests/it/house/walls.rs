//! The walls, as data: who may depend on what, and which words may stand in which files.
//! ARCHITECTURE.md says why they are there.

/// The services: each has its own door, and none knows another's crate.
pub const SERVICES: &[&str] = &["bookstore-api", "perf-service", "llm-simulator"];

/// What stands at the top of the repository, dotfiles aside.
pub const TOP_LEVEL: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "crates",
    "docker-compose.yml",
    "k6",
    "monitoring",
];

/// Names that say nothing of the domain, of files and folders of Rust sources.
pub const EMPTY_NAMES: &[&str] =
    &["common", "helper", "helpers", "manager", "managers", "misc", "mod", "util", "utils"];

/// Starts of paths that exist on one machine only. In two parts, so that this file passes.
pub const MACHINE_PATHS: &[&str] = &[concat!("/ro", "ot/"), concat!("/wo", "rk/")];

/// Which crates a dependency is for.
pub enum For {
    /// These alone.
    Only(&'static [&'static str]),
    /// All but these.
    NotFor(&'static [&'static str]),
}

/// A wall between crates, over `[dependencies]` (tests may reach further).
pub struct DependencyWall {
    /// What is broken when it is.
    pub wall: &'static str,
    /// Names of packages; a `*` at the end stands for any rest.
    pub dependencies: &'static [&'static str],
    /// Who may have them.
    pub allowed: For,
}

/// The walls between crates.
pub const DEPENDENCY_WALLS: &[DependencyWall] = &[
    DependencyWall {
        wall: "common-models and statistics do no I/O and know no framework",
        dependencies: &[
            "tokio*",
            "axum*",
            "hyper*",
            "tower*",
            "http",
            "http-*",
            "reqwest",
            "rusqlite",
            "mongodb",
            "redis",
            "moka",
            "bollard",
            "clap",
            "tracing*",
            "futures",
            "async-*",
            "telemetry",
            "llm",
        ],
        allowed: For::NotFor(&["common-models", "statistics"]),
    },
    DependencyWall {
        wall: "only http-server and the services' http modules know axum",
        dependencies: &["axum*", "utoipa-axum", "http-server"],
        allowed: For::Only(&["http-server", "bookstore-api", "perf-service", "llm-simulator"]),
    },
    DependencyWall {
        wall: "only http-server listens: hyper lives there",
        dependencies: &["hyper", "hyper-util"],
        allowed: For::Only(&["http-server"]),
    },
    DependencyWall {
        wall: "only telemetry knows OpenTelemetry",
        dependencies: &["opentelemetry*", "prometheus", "tracing-opentelemetry", "tracing-subscriber"],
        allowed: For::Only(&["telemetry"]),
    },
    DependencyWall {
        wall: "only an adapter knows its technology: documents and caches are bookstore-api's",
        dependencies: &["moka", "mongodb"],
        allowed: For::Only(&["bookstore-api"]),
    },
    DependencyWall {
        wall: "only an adapter knows its technology: the services keep and share things",
        dependencies: &["rusqlite", "redis"],
        allowed: For::Only(&["bookstore-api", "perf-service"]),
    },
    DependencyWall {
        wall: "only perf-service speaks to Docker",
        dependencies: &["bollard*"],
        allowed: For::Only(&["perf-service"]),
    },
    DependencyWall {
        wall: "only llm speaks to providers through their SDKs",
        dependencies: &["async-openai", "aws-sdk-*"],
        allowed: For::Only(&["llm"]),
    },
    DependencyWall {
        wall: "services meet over HTTP and never depend on each other's crates",
        dependencies: SERVICES,
        allowed: For::Only(&[]),
    },
    DependencyWall {
        wall: "llm-simulator never depends on llm: one misunderstanding must not sit on both sides",
        dependencies: &["llm"],
        allowed: For::NotFor(&["llm-simulator", "telemetry", "http-server"]),
    },
];

/// A wall inside crates, over their sources without comments, literals and test modules.
pub struct SourceWall {
    /// What is broken when it is.
    pub wall: &'static str,
    /// The files it is about, as patterns of paths under `crates/`: `*` stands for anything, `/` too.
    pub files: &'static [&'static str],
    /// Among those, the ones where the words may stand.
    pub except: &'static [&'static str],
    /// Words that must not stand elsewhere.
    pub words: &'static [&'static str],
    /// Wider expressions that make a word harmless.
    pub harmless: &'static [&'static str],
}

/// All sources of the services.
const SERVICE_SOURCES: &[&str] = &["bookstore-api/src/*", "perf-service/src/*", "llm-simulator/src/*"];

/// The walls inside crates.
pub const SOURCE_WALLS: &[SourceWall] = &[
    SourceWall {
        wall: "only http modules (and app.rs, which mounts the router) know axum",
        files: SERVICE_SOURCES,
        except: &["*/src/http.rs", "*/src/http/*", "*/src/app.rs"],
        words: &["axum", "utoipa_axum"],
        harmless: &[],
    },
    SourceWall {
        wall: "only the embedded store (of perf-service: a ledger) knows SQLite",
        files: &["*/src/*"],
        except: &["bookstore-api/src/store/embedded*", "perf-service/src/ledger/*"],
        words: &["rusqlite"],
        harmless: &[],
    },
    SourceWall {
        wall: "only the cache in process knows moka",
        files: &["*/src/*"],
        except: &["bookstore-api/src/cache/memory*"],
        words: &["moka"],
        harmless: &[],
    },
    SourceWall {
        wall: "only the adapters of MongoDB and Redis know their drivers",
        files: &["*/src/*"],
        except: &[
            "bookstore-api/src/store/mongo*",
            "bookstore-api/src/redis_link*",
            "bookstore-api/src/cache/redis*",
            "bookstore-api/src/leases/redis*",
            "perf-service/src/neighbours/redis*",
        ],
        words: &["use mongodb", "use redis", "use ::redis"],
        harmless: &[],
    },
    SourceWall {
        wall: "only the Docker engine knows bollard",
        files: &["*/src/*"],
        except: &["perf-service/src/engine/docker*"],
        words: &["bollard"],
        harmless: &[],
    },
    SourceWall {
        wall: "use cases know ports, never adapters, frameworks or status codes",
        files: &[
            "bookstore-api/src/catalog*",
            "bookstore-api/src/summaries*",
            "bookstore-api/src/spend*",
            "bookstore-api/src/standing*",
            "bookstore-api/src/import.rs",
            "bookstore-api/src/cache_aside*",
            "bookstore-api/src/leases.rs",
            "perf-service/src/runs*",
            "perf-service/src/comparisons*",
        ],
        except: &["*/tests.rs"],
        words: &[
            "StatusCode",
            "axum",
            "http_server",
            "crate::http",
            "crate::app",
            "embedded",
            "EmbeddedStore",
            "memory::",
            "MemoryCache",
            "mongo::",
            "redis::",
            "docker::",
            "DockerEngine",
            "local::",
            "LocalEngine",
            "files::",
            "sqlite::",
            "SqliteLedger",
            "RedisNeighbours",
        ],
        harmless: &[],
    },
    SourceWall {
        wall: "only settings.rs reads the environment",
        files: &["*/src/*"],
        except: &["*/src/settings.rs", "*/tests.rs"],
        words: &["std::env", "env::var", "env::vars", "env::var_os"],
        harmless: &[
            "std::env::consts",
            "std::env::temp_dir",
            "std::env::split_paths",
            "std::env::join_paths",
        ],
    },
    SourceWall {
        wall: "only telemetry knows OpenTelemetry",
        files: &["*/src/*"],
        except: &["telemetry/src/*"],
        words: &["opentelemetry", "opentelemetry_sdk", "opentelemetry_otlp", "tracing_opentelemetry"],
        harmless: &[],
    },
];
