#!/bin/bash
# Enrols a device with nothing but curl, openssl, tpm2-tools and coreutils: docs/enrolment.md, step
# by step. For whoever writes a device of their own; it runs against swtpm in `make test-all`.
#
#   foreign_device.sh AUTHORITY CA TOKEN DIR
#
#   AUTHORITY  host:port of the authority
#   CA         its CA certificate, ca.pem
#   TOKEN      a file with an enrolment token
#   DIR        a new directory for the certificate, the X25519 key and everything in between
#
# The TPM is the one that TPM2TOOLS_TCTI names. Its attestation key and device key are left at the
# persistent handles below, where anything that is there already is replaced.
set -euo pipefail
umask 077

authority=$1 ca=$(realpath "$2") token=$(realpath "$3")
mkdir "$4"
cd "$4"

ak_handle=0x81010051
dk_handle=0x81010052

# ---- bytes ----

unhex() { tr a-f A-F | basenc -d --base16; }
hex() { basenc --base16 -w0 | tr A-F a-f; }
base64_of() { base64 -w0 "$1"; }
size() { stat -c %s "$1"; }

# TPM2B to its contents.
contents() { tail -c +3; }
# A file as a TPM2B.
tpm2b() { printf '%04x' "$(size "$1")" | unhex && cat "$1"; }

# digest LABEL FILE...: SHA-256 over label and files, each with its length in four bytes in front.
digest() {
    local label=$1 part
    shift
    {
        printf '%08x' ${#label} | unhex
        printf '%s' "$label"
        for part in "$@"; do
            printf '%08x' "$(size "$part")" | unhex
            cat "$part"
        done
    } | openssl dgst -sha256 -binary
}

# hmac KEYFILE: HMAC-SHA-256 of stdin (RFC 2104), by hand so that no key is an argument of a
# program. Keys here are of 32 bytes.
hmac() {
    local key inner outer i byte
    key=$(hex <"$1")
    inner='' outer=''
    for ((i = 0; i < 64; i++)); do
        byte=$((16#0${key:2*i:2}))
        printf -v inner '%s%02x' "$inner" $((byte ^ 0x36))
        printf -v outer '%s%02x' "$outer" $((byte ^ 0x5c))
    done
    { unhex <<<"$inner" && cat; } | openssl dgst -sha256 -binary >hmac.inner
    { unhex <<<"$outer" && cat hmac.inner; } | openssl dgst -sha256 -binary
}

# der TAG: stdin as the contents of this DER element.
der() {
    cat >"der.$1"
    local length
    length=$(size "der.$1")
    if ((length < 128)); then
        printf '%s%02x' "$1" "$length" | unhex
    elif ((length < 256)); then
        printf '%s81%02x' "$1" "$length" | unhex
    else
        printf '%s82%04x' "$1" "$length" | unhex
    fi
    cat "der.$1"
}

# field NAME FILE: the text of a JSON string without escapes, as the authority writes all of ours.
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$2"; }

# Without a resource manager every tool leaves its objects behind, and a TPM has room for three.
flush() { tpm2_flushcontext -t 2>/dev/null || true; }

# ---- the authority, and which key it has ----

openssl s_client -connect "$authority" -CAfile "$ca" -verify_return_error </dev/null 2>/dev/null |
    openssl x509 -pubkey -noout | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary \
    >authority.spki
# curl talks to that key or to nobody.
post() {
    curl --silent --show-error --cacert "$ca" --pinnedpubkey "sha256//$(base64_of authority.spki)" \
        --header 'Content-Type: application/json' --data-binary "@$2" --output "$3" \
        --write-out '%{http_code}' "https://$authority$1"
}
refuse() {
    echo "error: $(field message "$1") (check $(field check "$1")). Try: $(field hint "$1")" >&2
    exit 7
}

# ---- keys ----

ours='fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda'
for handle in $ak_handle $dk_handle; do
    tpm2_evictcontrol -Q -C o -c $handle 2>/dev/null || true
done
flush
tpm2_createek -Q -G rsa -c ek.ctx -u ek.tpm2b
tpm2_nvread -Q 0x01c00002 -o ek.nv
openssl x509 -inform DER -in ek.nv -outform DER -out ek.der
flush
tpm2_createprimary -Q -C e -g sha256 -G ecc256:ecdsa-sha256:null -a "$ours|sign|restricted" -c ak.ctx
tpm2_evictcontrol -Q -C o -c ak.ctx $ak_handle
flush
tpm2_createprimary -Q -C o -g sha256 -G ecc256:null:aes128cfb -a "$ours|decrypt|restricted" -c srk.ctx
tpm2_readpublic -Q -c srk.ctx -n srk.name -o srk.tpm2b
flush
tpm2_create -Q -C srk.ctx -g sha256 -G ecc256:ecdsa-sha256:null -a "$ours|sign" -u dk.tpm2b -r dk.private
flush
tpm2_load -Q -C srk.ctx -u dk.tpm2b -r dk.private -c dk.ctx
tpm2_evictcontrol -Q -C o -c dk.ctx $dk_handle
flush
tpm2_readpublic -Q -c $ak_handle -n ak.name -o ak.tpm2b
tpm2_readpublic -Q -c $dk_handle -n dk.name -f der -o dk.spki
for key in ek ak dk; do
    contents <$key.tpm2b >$key.pub
done
openssl genpkey -algorithm X25519 -out x25519.pem
openssl pkey -in x25519.pem -pubout -outform DER | tail -c 32 >x25519.pub
openssl rand -out client.random 32

# ---- M1: EnrolRequest ----

printf '{"protocol":1,"token":"%s","ek_certificate":"%s","ek_chain":[],"ek_public":"%s",' \
    "$(cat "$token")" "$(base64_of ek.der)" "$(base64_of ek.pub)" >m1.json
printf '"ak_public":"%s","dk_public":"%s","x25519_public":"%s","srk_name":"%s","client_random":"%s"}' \
    "$(base64_of ak.pub)" "$(base64_of dk.pub)" "$(base64_of x25519.pub)" "$(base64_of srk.name)" \
    "$(base64_of client.random)" >>m1.json
[ "$(post /v1/enroll m1.json m2.json)" = 200 ] || refuse m2.json

# ---- M2: EnrolChallenge, and the transcript over both ----

session=$(field session m2.json)
field authority_id m2.json | tr -d '\n' >authority.id
for name in nonce credential_blob encrypted_secret x25519_challenge; do
    field $name m2.json | base64 -d >$name
done
unhex <<<"$session" >session
pcrs=$(sed -n 's/.*"pcr_selection":\[\([0-9,]*\)\].*/\1/p' m2.json)
for pcr in ${pcrs//,/ }; do printf '%02x' "$pcr"; done | unhex >pcr_selection
openssl dgst -sha256 -binary <ek.pub >ek.digest
cat credential_blob encrypted_secret | openssl dgst -sha256 -binary >credential.digest

digest sealsum/v1/enroll authority.id authority.spki session client.random nonce ek.digest ak.name \
    dk.name x25519.pub srk.name x25519_challenge credential.digest pcr_selection >transcript

# ---- the TPM's statements over the transcript ----

digest sealsum/v1/quote transcript >quote.data
tpm2_quote -Q -c $ak_handle -g sha256 -l "sha256:$pcrs" -q "$(hex <quote.data)" -m quote.attest -s quote.sig
tpm2_pcrread -Q "sha256:$pcrs" -o pcrs

# TPM2_Certify of the device key by the attestation key, as raw bytes: tpm2_certify 5.4 takes no
# qualifying data. Two empty passwords, then TPM2B_DATA and the scheme TPM_ALG_NULL.
digest sealsum/v1/certify transcript >certify.data
printf '%08x%08x%08x%s%s0020%s0010' $dk_handle $ak_handle 18 400000090000000000 400000090000000000 \
    "$(hex <certify.data)" | unhex >certify.body
{ printf '8002%08x00000148' $((10 + $(size certify.body))) | unhex && cat certify.body; } |
    tpm2_send >certify.response
[ "$(hex <certify.response | cut -c 13-20)" = 00000000 ] || {
    echo "error: the TPM refused TPM2_Certify" >&2
    exit 1
}
# Header, parameter size, TPM2B_ATTEST, TPMT_SIGNATURE, two sessions of five bytes.
attest_size=$((16#$(hex <certify.response | cut -c 29-32)))
tail -c +17 certify.response | head -c $attest_size >certify.attest
tail -c +$((17 + attest_size)) certify.response | head -c -10 >certify.sig

# ---- the certificate request: no name, no attributes, signed by the device key ----

{ printf '020100''3000' | unhex && cat dk.spki && printf 'a000' | unhex; } | der 30 >csr.info
tpm2_sign -Q -c $dk_handle -g sha256 -s ecdsa -f plain -o csr.sig csr.info
{
    cat csr.info
    printf '300a06082a8648ce3d040302' | unhex
    { printf '00' | unhex && cat csr.sig; } | der 03
} | der 30 >csr.der

# ---- activation: only this TPM, with this attestation key, can open the credential ----

{ printf 'badcc0de''00000001' | unhex && tpm2b credential_blob && tpm2b encrypted_secret; } >credential
flush
tpm2_startauthsession -Q --policy-session -S policy.ctx
tpm2_policysecret -Q -S policy.ctx -c e
tpm2_activatecredential -Q -c $ak_handle -C ek.ctx -i credential -o secret -P session:policy.ctx
tpm2_flushcontext -Q policy.ctx
flush
digest sealsum/v1/activation transcript | hmac secret >activation.proof

# ---- possession of the X25519 key: Diffie-Hellman with the challenge, HKDF, HMAC ----

{ printf '302a300506032b656e032100' | unhex && cat x25519_challenge; } >challenge.spki
openssl pkeyutl -derive -inkey x25519.pem -peerform DER -peerkey challenge.spki -out shared
hmac nonce <shared >prk
printf 'sealsum/v1/possession\001' | hmac prk >possession.key
digest sealsum/v1/possession transcript | hmac possession.key >possession.proof
rm -f secret shared prk possession.key hmac.inner

# ---- M3: EnrolAnswer ----

values='' offset=1
for pcr in ${pcrs//,/ }; do
    values+="${values:+,}\"$pcr\":\"$(tail -c +$offset pcrs | head -c 32 | hex)\""
    offset=$((offset + 32))
done
printf '{"quote_attest":"%s","quote_signature":"%s","pcrs":{%s},"certify_attest":"%s",' \
    "$(base64_of quote.attest)" "$(base64_of quote.sig)" "$values" "$(base64_of certify.attest)" >m3.json
printf '"certify_signature":"%s","csr":"%s","activation_proof":"%s","x25519_proof":"%s"}' \
    "$(base64_of certify.sig)" "$(base64_of csr.der)" "$(base64_of activation.proof)" \
    "$(base64_of possession.proof)" >>m3.json
[ "$(post "/v1/enroll/$session" m3.json m4.json)" = 200 ] || refuse m4.json

# ---- M4: EnrolGrant ----

field certificate m4.json | sed 's/\\n/\n/g' >device.pem
openssl verify -CAfile "$ca" -purpose sslclient device.pem >/dev/null
rm m1.json
echo "$(field device m4.json)"
