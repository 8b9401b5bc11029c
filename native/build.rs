fn main() {
    napi_build::setup();
    // Node closes an addon when the last thread that loaded it ends, but the pool's threads live on: their code must stay.
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
