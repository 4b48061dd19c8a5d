//! Rebuilds when a k6 script is added: the scripts are embedded into the binary.

fn main() {
    println!("cargo::rerun-if-changed=../../k6");
}
