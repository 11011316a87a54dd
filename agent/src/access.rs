//! Which local users may do what, by who they are to the kernel.
//!
//! Root and the agent's own user may do everything; others what `[local] allow` says. Names are
//! looked up in `/etc/passwd` and `/etc/group` when the agent starts: a static binary has no NSS,
//! and a directory service that is down must not decide who may submit.

use std::fs;

use sealsum_daemon::{Failure, codes};

use crate::config::Rule;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// The rules, with numbers for names.
#[derive(Clone, Debug)]
pub struct Access {
    own_uid: u32,
    rules: Vec<Grant>,
}

#[derive(Clone, Debug)]
struct Grant {
    who: Who,
    tasks: Option<Vec<String>>,
}

#[derive(Clone, Debug)]
enum Who {
    User(u32),
    /// A group's number and the users listed as its members.
    Group(u32, Vec<u32>),
}

/// Who asks, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// User.
    pub uid: u32,
    /// Primary group of the process.
    pub gid: u32,
}

impl Access {
    /// Resolves the names in `rules`.
    ///
    /// # Errors
    /// `config_invalid` for a name that is not there.
    pub fn new(rules: &[Rule]) -> Result<Self, Failure> {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self::resolve(rules, rustix::process::geteuid().as_raw(), &read(PASSWD), &read(GROUP))
    }

    fn resolve(rules: &[Rule], own_uid: u32, passwd: &str, group: &str) -> Result<Self, Failure> {
        let rules = rules.iter().map(|rule| {
            let who = match (&rule.user, &rule.group) {
                (Some(user), _) => number_of(passwd, user).map(Who::User),
                (None, Some(name)) => number_of(group, name)
                    .map(|number| Who::Group(number, members_of(group, passwd, number))),
                (None, None) => None,
            };
            let name = rule.user.as_ref().or(rule.group.as_ref()).map_or("", String::as_str);
            let who = who.ok_or_else(|| {
                Failure::new(
                    codes::CONFIG_INVALID,
                    format!("local.allow: there is no user or group {name}"),
                    "create it, or take it out of the list",
                )
            })?;
            Ok(Grant { who, tasks: rule.tasks.clone() })
        });
        Ok(Self { own_uid, rules: rules.collect::<Result<_, Failure>>()? })
    }

    /// Whether `peer` may command the agent itself.
    pub fn is_owner(&self, peer: Peer) -> bool {
        peer.uid == 0 || peer.uid == self.own_uid
    }

    /// Refuses everybody whom no rule names.
    ///
    /// # Errors
    /// `caller_not_allowed`.
    pub fn check(&self, peer: Peer) -> Result<(), Failure> {
        if self.is_owner(peer) || self.rules_for(peer).next().is_some() {
            return Ok(());
        }
        Err(Failure::new(
            codes::CALLER_NOT_ALLOWED,
            format!("user {}: not allowed by [local] allow of this agent", peer.uid),
            "add the user to [local] allow in agent.toml and restart the agent",
        ))
    }

    /// Refuses a caller that no rule allows this task.
    ///
    /// # Errors
    /// `caller_not_allowed`, `task_not_allowed`.
    pub fn check_task(&self, peer: Peer, task: &str) -> Result<(), Failure> {
        self.check(peer)?;
        let allows = |grant: &Grant| {
            grant.tasks.as_ref().is_none_or(|tasks| tasks.iter().any(|name| name == task))
        };
        if self.is_owner(peer) || self.rules_for(peer).any(allows) {
            return Ok(());
        }
        Err(Failure::new(
            codes::TASK_NOT_ALLOWED,
            format!("user {}: not allowed to submit to task {task}", peer.uid),
            "add the task to the user's entry of [local] allow and restart the agent",
        ))
    }

    fn rules_for(&self, peer: Peer) -> impl Iterator<Item = &Grant> {
        self.rules.iter().filter(move |grant| match &grant.who {
            Who::User(uid) => *uid == peer.uid,
            Who::Group(gid, members) => *gid == peer.gid || members.contains(&peer.uid),
        })
    }
}

/// The third field of the line that begins with `name`; a number stands for itself.
fn number_of(file: &str, name: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let line = file.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

/// Users whom `/etc/group` lists for a group, and those whose primary group it is.
fn members_of(group: &str, passwd: &str, number: u32) -> Vec<u32> {
    let field = |line: &str, index: usize| line.split(':').nth(index).map(str::to_owned);
    let is_it = |line: &&str| field(line, 2).and_then(|text| text.parse().ok()) == Some(number);
    let listed = group.lines().filter(is_it).filter_map(|line| field(line, 3));
    let listed: Vec<String> =
        listed.flat_map(|names| names.split(',').map(str::to_owned).collect::<Vec<_>>()).collect();
    let primary = passwd
        .lines()
        .filter(|line| field(line, 3).and_then(|text| text.parse().ok()) == Some(number));
    let primary = primary.filter_map(|line| field(line, 2)?.parse().ok());
    listed.iter().filter_map(|name| number_of(passwd, name)).chain(primary).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\ntrainer:x:1001:1001::/:/bin/sh\n\
                          ana:x:1002:1002::/:/bin/sh\nbob:x:1003:2000::/:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nml:x:2000:ana,nobody\n";
    const OWN: u32 = 500;

    fn rule(user: Option<&str>, group: Option<&str>, tasks: Option<&[&str]>) -> Rule {
        Rule {
            user: user.map(str::to_owned),
            group: group.map(str::to_owned),
            tasks: tasks.map(|tasks| tasks.iter().map(|task| (*task).to_owned()).collect()),
        }
    }

    fn access(rules: &[Rule]) -> Access {
        Access::resolve(rules, OWN, PASSWD, GROUP).unwrap()
    }

    fn peer(uid: u32) -> Peer {
        Peer { uid, gid: uid }
    }

    #[test]
    fn without_rules_only_root_and_the_agent_itself() {
        let access = access(&[]);
        for allowed in [0, OWN] {
            access.check_task(peer(allowed), "penguins").unwrap();
        }
        for stranger in [1, 501, 1001] {
            let failure = access.check(peer(stranger)).unwrap_err();
            assert_eq!(failure.code, codes::CALLER_NOT_ALLOWED);
        }
    }

    #[test]
    fn a_user_gets_the_tasks_of_its_rule_and_no_others() {
        let access = access(&[rule(Some("trainer"), None, Some(&["penguins"]))]);
        access.check_task(peer(1001), "penguins").unwrap();
        let failure = access.check_task(peer(1001), "histogram").unwrap_err();
        assert_eq!(failure.code, codes::TASK_NOT_ALLOWED);
        let failure = access.check_task(peer(1002), "penguins").unwrap_err();
        assert_eq!(failure.code, codes::CALLER_NOT_ALLOWED);
        assert!(!access.is_owner(peer(1001)));
    }

    #[test]
    fn a_group_is_its_members_by_list_by_primary_group_and_by_process() {
        let access = access(&[rule(None, Some("ml"), None)]);
        for member in [peer(1002), peer(1003), Peer { uid: 7, gid: 2000 }] {
            access.check_task(member, "anything").unwrap();
        }
        assert!(access.check(peer(1001)).is_err());
    }

    #[test]
    fn numbers_work_and_unknown_names_are_a_wrong_configuration() {
        access(&[rule(Some("4242"), None, None)]).check(peer(4242)).unwrap();
        for bad in [rule(Some("nobody-here"), None, None), rule(None, Some("none"), None)] {
            let failure = Access::resolve(&[bad], OWN, PASSWD, GROUP).unwrap_err();
            assert_eq!(failure.code, codes::CONFIG_INVALID);
        }
    }
}
