//! How the released program is linked.

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    let of = |key: &str| std::env::var(key).unwrap_or_default();
    // Functions that come out alike are kept once, which is a thirtieth of the program. Only here is
    // the linker known to be one that can do it: rustc brings it along.
    if of("PROFILE") == "release" && of("TARGET") == "x86_64-unknown-linux-gnu" {
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
    }
}
