//! The company's own PKI: a real OpenBao server issues the certificates of a fleet.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(unreachable_pub, reason = "a test target has no outside")]

mod server;

use server::OpenBao;

#[test]
fn a_server_is_sealed_and_unsealed_without_losing_anything() {
    let folder = tempfile::tempdir().unwrap();
    let mut bao = OpenBao::start(folder.path());
    bao.run(&["secrets", "enable", "pki"]);
    bao.seal();
    assert_eq!(bao.health()["sealed"], true);
    bao.unseal();
    bao.restart();
    assert!(bao.run(&["secrets", "list"]).contains("pki/"));
}
