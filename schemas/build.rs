//! Has the migrations, which are part of the library, read again when one is added.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
