//! Identifiers of TPM_ALG_ID, TPM_ECC_CURVE and TPMA_OBJECT that we read or demand
//! (TPM 2.0 Library, Part 2, clauses 6.3, 6.4 and 8.3; TCG Algorithm Registry).

/// TPM_ALG_RSA.
pub const RSA: u16 = 0x0001;
/// TPM_ALG_TDES.
pub const TDES: u16 = 0x0003;
/// TPM_ALG_SHA1.
pub const SHA1: u16 = 0x0004;
/// TPM_ALG_AES.
pub const AES: u16 = 0x0006;
/// TPM_ALG_SHA256.
pub const SHA256: u16 = 0x000b;
/// TPM_ALG_SHA384.
pub const SHA384: u16 = 0x000c;
/// TPM_ALG_SHA512.
pub const SHA512: u16 = 0x000d;
/// TPM_ALG_NULL.
pub const NULL: u16 = 0x0010;
/// TPM_ALG_SM4.
pub const SM4: u16 = 0x0013;
/// TPM_ALG_RSASSA.
pub const RSASSA: u16 = 0x0014;
/// TPM_ALG_RSAES.
pub const RSAES: u16 = 0x0015;
/// TPM_ALG_RSAPSS.
pub const RSAPSS: u16 = 0x0016;
/// TPM_ALG_OAEP.
pub const OAEP: u16 = 0x0017;
/// TPM_ALG_ECDSA.
pub const ECDSA: u16 = 0x0018;
/// TPM_ALG_ECDH.
pub const ECDH: u16 = 0x0019;
/// TPM_ALG_ECDAA.
pub const ECDAA: u16 = 0x001a;
/// TPM_ALG_SM2.
pub const SM2: u16 = 0x001b;
/// TPM_ALG_ECSCHNORR.
pub const ECSCHNORR: u16 = 0x001c;
/// TPM_ALG_ECMQV.
pub const ECMQV: u16 = 0x001d;
/// TPM_ALG_ECC.
pub const ECC: u16 = 0x0023;
/// TPM_ALG_CAMELLIA.
pub const CAMELLIA: u16 = 0x0026;
/// TPM_ALG_CFB.
pub const CFB: u16 = 0x0043;

/// TPM_ECC_NIST_P256.
pub const NIST_P256: u16 = 0x0003;
/// TPM_ECC_NIST_P384.
pub const NIST_P384: u16 = 0x0004;

/// TPMA_OBJECT bits by name.
pub mod attribute {
    /// The object cannot leave its TPM.
    pub const FIXED_TPM: u32 = 1 << 1;
    /// Saved contexts die with a TPM restart.
    pub const ST_CLEAR: u32 = 1 << 2;
    /// The object cannot be moved under another parent.
    pub const FIXED_PARENT: u32 = 1 << 4;
    /// The TPM itself drew the private part.
    pub const SENSITIVE_DATA_ORIGIN: u32 = 1 << 5;
    /// Use may be authorised by the authValue.
    pub const USER_WITH_AUTH: u32 = 1 << 6;
    /// Administration demands the policy.
    pub const ADMIN_WITH_POLICY: u32 = 1 << 7;
    /// Not subject to dictionary-attack protection.
    pub const NO_DA: u32 = 1 << 10;
    /// Duplication keeps it encrypted.
    pub const ENCRYPTED_DUPLICATION: u32 = 1 << 11;
    /// Acts only on structures of known form.
    pub const RESTRICTED: u32 = 1 << 16;
    /// May decrypt.
    pub const DECRYPT: u32 = 1 << 17;
    /// May sign.
    pub const SIGN: u32 = 1 << 18;
    /// May sign X.509 only (TPM2_CertifyX509).
    pub const X509_SIGN: u32 = 1 << 19;
}
