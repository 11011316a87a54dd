//! Every error code a user can meet, each with the exit code it leads to.
//!
//! The table is the one in INTERFACE ("Exit codes and error codes"); a program may define further
//! codes as constants of its own with [`Code::new`], naming the [`Exit`] class.

use std::borrow::Cow;
use std::fmt;

/// Exit codes: what a script may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// 1: the other side or a policy said no.
    Refused = 1,
    /// 2: somebody could not be reached, or is not whom we trust.
    Unreachable = 2,
    /// 3: too late, or too few took part.
    Incomplete = 3,
    /// 4: the command, the configuration or a file is wrong.
    Usage = 4,
    /// 5: a bug of ours.
    Bug = 5,
    /// 6: this device is not, or no longer, a member.
    NotEnrolled = 6,
    /// 7: evidence or a log did not verify.
    Evidence = 7,
}

impl Exit {
    /// The process exit code.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The HTTP status a server answers with for a code of this class, unless it chooses better.
    pub const fn http_status(self) -> u16 {
        match self {
            Exit::Refused | Exit::NotEnrolled | Exit::Evidence => 403,
            Exit::Unreachable => 502,
            Exit::Incomplete => 409,
            Exit::Usage => 400,
            Exit::Bug => 500,
        }
    }

    /// The class of an answer whose code this program does not know.
    fn of_http_status(status: u16) -> Exit {
        match status {
            400 | 411 | 413 | 415 | 422 => Exit::Usage,
            408 | 504 => Exit::Incomplete,
            429 | 502 | 503 => Exit::Unreachable,
            500.. => Exit::Bug,
            _ => Exit::Refused,
        }
    }
}

/// A stable error code, such as `token_invalid`, and its exit class.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Code {
    name: Cow<'static, str>,
    exit: Exit,
}

impl Code {
    /// A code known when the program is built. Names are `lower_case_with_underscores`.
    pub const fn new(name: &'static str, exit: Exit) -> Code {
        Code { name: Cow::Borrowed(name), exit }
    }

    /// The code that a server sent with an HTTP status: from the table if it is there, otherwise
    /// its own name with an exit class by the status.
    pub fn remote(name: &str, status: u16) -> Code {
        find(name).unwrap_or_else(|| Code {
            name: Cow::Owned(name.to_owned()),
            exit: Exit::of_http_status(status),
        })
    }

    /// The name, as in JSON.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The exit class.
    pub const fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The code of this name in the table, if it is one of ours.
pub fn find(name: &str) -> Option<Code> {
    ALL.iter().find(|code| code.name() == name).cloned()
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $constant:ident = $name:literal, $exit:ident;)*) => {
        $($(#[doc = $doc])* pub const $constant: Code = Code::new($name, Exit::$exit);)*

        /// The whole table.
        pub static ALL: &[Code] = &[$($constant),*];
    };
}

codes! {
    /// The other side said no.
    REFUSED = "refused", Refused;
    /// The certification authority behind the fleet's authority does not sign as it must.
    CA_REFUSED = "ca_refused", Refused;
    /// The caller may not use this task.
    TASK_NOT_ALLOWED = "task_not_allowed", Refused;
    /// The token is unknown, used up, expired, or for another role or device.
    TOKEN_INVALID = "token_invalid", Refused;
    /// A task is below a floor of the device's policy.
    POLICY_FLOOR = "policy_floor", Refused;
    /// The local socket does not serve this user.
    CALLER_NOT_ALLOWED = "caller_not_allowed", Refused;
    /// There is no such device, task, round or receipt.
    NOT_FOUND = "not_found", Refused;
    /// It exists already, or the step is over.
    CONFLICT = "conflict", Refused;
    /// A round's canary words do not equal the number of contributors.
    CANARY = "canary", Refused;
    /// A device was revoked after its part entered the sum.
    CONTRIBUTOR_REVOKED = "contributor_revoked", Refused;
    /// An operator ended the round.
    ABORTED = "aborted", Refused;

    /// Nobody answers there.
    UNREACHABLE = "unreachable", Unreachable;
    /// The TLS handshake failed.
    TLS = "tls", Unreachable;
    /// The server's certificate is not from the CA given.
    WRONG_CA = "wrong_ca", Unreachable;
    /// The TPM does not answer.
    TPM_UNREACHABLE = "tpm_unreachable", Unreachable;
    /// No agent listens on the socket.
    AGENT_NOT_RUNNING = "agent_not_running", Unreachable;
    /// The other side has too much to do at the moment.
    BUSY = "busy", Unreachable;

    /// The time is over.
    DEADLINE = "deadline", Incomplete;
    /// Too few devices joined the round.
    TOO_FEW_DEVICES = "too_few_devices", Incomplete;
    /// Too few devices sent their part.
    TOO_FEW_CONTRIBUTORS = "too_few_contributors", Incomplete;
    /// Too few devices signed the same set.
    NO_CONSENSUS = "no_consensus", Incomplete;
    /// Too few shares came back to unmask.
    TOO_FEW_SHARES = "too_few_shares", Incomplete;
    /// The round has not ended.
    NOT_FINISHED = "not_finished", Incomplete;

    /// The command line is wrong.
    USAGE = "usage", Usage;
    /// The configuration has a key that does not exist.
    CONFIG_UNKNOWN_KEY = "config_unknown_key", Usage;
    /// The configuration has a value that cannot be used.
    CONFIG_INVALID = "config_invalid", Usage;
    /// The file does not exist, or is not readable.
    FILE_NOT_FOUND = "file_not_found", Usage;
    /// The file exists already and is not replaced.
    FILE_EXISTS = "file_exists", Usage;
    /// A secret's file can be read by others.
    FILE_PERMISSIONS = "file_permissions", Usage;
    /// The file could not be written.
    FILE_WRITE = "file_write", Usage;
    /// The file is not of a known format.
    FILE_FORMAT = "file_format", Usage;
    /// The file ends too early.
    FILE_TRUNCATED = "file_truncated", Usage;
    /// The vector has another number of coordinates than the task.
    WRONG_LENGTH = "wrong_length", Usage;
    /// The vector has a NaN or an infinity; the error says at which index.
    NOT_FINITE = "not_finite", Usage;
    /// Another process runs on this directory.
    ALREADY_RUNNING = "already_running", Usage;
    /// The address cannot be listened on.
    ADDRESS_UNAVAILABLE = "address_unavailable", Usage;
    /// The message is larger than the route allows.
    BODY_TOO_LARGE = "body_too_large", Usage;
    /// The message cannot be read.
    BODY_INVALID = "body_invalid", Usage;

    /// A bug of ours.
    BUG = "bug", Bug;

    /// This device has no certificate yet.
    NOT_ENROLLED = "not_enrolled", NotEnrolled;
    /// The authority withdrew this device.
    REVOKED = "revoked", NotEnrolled;
    /// The certificate is over and must be renewed.
    CERTIFICATE_EXPIRED = "certificate_expired", NotEnrolled;
    /// A later enrolment of the same device replaced the certificate.
    CERTIFICATE_REPLACED = "certificate_replaced", NotEnrolled;
    /// The keys in the TPM are gone; the agent makes new ones and enrols again by itself.
    KEYS_LOST = "keys_lost", NotEnrolled;
    /// The TPM is another one than this device enrolled with.
    IDENTITY_LOST = "identity_lost", NotEnrolled;

    /// The evidence did not convince; `check` is the id in the table of refusals.
    EVIDENCE_REFUSED = "evidence_refused", Evidence;
    /// The log shows two histories.
    LOG_FORK = "log_fork", Evidence;
    /// A log, a proof or a signed list does not verify.
    LOG_INVALID = "log_invalid", Evidence;
    /// A device's privacy ledger is older than the counter in its TPM.
    LEDGER_ROLLED_BACK = "ledger_rolled_back", Evidence;
    /// The counter in a device's TPM is older than its privacy ledger.
    COUNTER_ROLLED_BACK = "counter_rolled_back", Evidence;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// INTERFACE, "Exit codes and error codes", line by line.
    const PROMISED: &[(u8, &[&str])] = &[
        (1, &["refused", "task_not_allowed", "token_invalid", "policy_floor", "canary"]),
        (2, &["unreachable", "tls", "wrong_ca", "tpm_unreachable", "agent_not_running"]),
        (
            3,
            &[
                "deadline",
                "too_few_devices",
                "too_few_contributors",
                "no_consensus",
                "too_few_shares",
            ],
        ),
        (
            4,
            &[
                "usage",
                "config_unknown_key",
                "config_invalid",
                "file_not_found",
                "file_format",
                "file_truncated",
                "wrong_length",
                "not_finite",
                "already_running",
            ],
        ),
        (5, &["bug"]),
        (6, &["not_enrolled", "revoked", "certificate_expired"]),
        (7, &["evidence_refused", "log_fork", "log_invalid"]),
    ];

    #[test]
    fn every_promised_code_has_its_exit_code() {
        for (exit, names) in PROMISED {
            for name in *names {
                let code = find(name).unwrap_or_else(|| panic!("{name} is missing"));
                assert_eq!(code.exit().number(), *exit, "{name}");
            }
        }
    }

    #[test]
    fn names_are_unique_and_lower_case() {
        let mut seen = HashSet::new();
        for code in ALL {
            assert!(seen.insert(code.name()), "{code} is there twice");
            assert!(code.name().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
        }
    }

    #[test]
    fn a_code_from_a_server_keeps_its_name() {
        assert_eq!(Code::remote("revoked", 403), REVOKED);
        let unknown = Code::remote("moon_phase", 422);
        assert_eq!((unknown.name(), unknown.exit()), ("moon_phase", Exit::Usage));
        assert_eq!(Code::remote("moon_phase", 503).exit(), Exit::Unreachable);
        assert_eq!(Code::remote("moon_phase", 500).exit(), Exit::Bug);
        assert_eq!(Code::remote("moon_phase", 404).exit(), Exit::Refused);
    }
}
