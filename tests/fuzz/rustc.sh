#!/bin/sh
# rustc for a fuzzing build: coverage in whatever reads bytes and decides. Not in arithmetic, where
# it teaches nothing and costs nine tenths of the speed; nor in build scripts and macros, which are
# compiled without --target.
set -eu
rustc=$1
shift
case " $* " in
*" --target "*) ;;
*) exec "$rustc" "$@" ;;
esac
for name in curve25519_dalek ed25519_dalek x25519_dalek fiat_crypto p256 p384 primeorder primefield \
    elliptic_curve crypto_bigint num_bigint num_bigint_dig rsa sha2 aes chacha20 chacha20poly1305 \
    poly1305 ctr cipher rand_chacha; do
    case " $* " in *" --crate-name $name "*) exec "$rustc" "$@" ;; esac
done
exec "$rustc" "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
