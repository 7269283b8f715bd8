//! How many files this process may have open, and what that leaves for connections.
//!
//! The soft limit is raised to what is needed, at most to the hard one. That is safe here: no
//! part of the program uses `select(2)`, which cannot take high file numbers.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files besides HTTP connections: the journal, checkpoints, the UDP socket, look-ups, logs.
pub const OWN_FILES: usize = 256;
/// Connections of the admin listener, at most: few people and scrapers need it.
pub const ADMIN_MOST: usize = 1_024;
/// When files are short, the admin listener gives way to the storefront, down to so many.
const ADMIN_LEAST: usize = 512;

/// Connections that the listeners may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    pub storefront: usize,
    pub admin: usize,
    /// The process' limit, where it does not allow what was asked for.
    pub short: Option<usize>,
}

impl Connections {
    /// What to tell the operator, if the limit does not allow what was asked for.
    pub fn complaint(&self, wanted: usize) -> Option<String> {
        let files = self.short?;
        let Connections { storefront, admin, .. } = self;
        Some(format!(
            "this process may open {files} files, but limits.http_connections = {wanted} takes {} for two \
             listeners: the storefront takes at most {storefront} connections, the admin listener {admin}. \
             Raise the hard limit (LimitNOFILE= in a systemd unit, `ulimit -Hn`), or lower \
             limits.http_connections",
            needed(wanted)
        ))
    }
}

/// Makes room for `wanted` connections at the storefront listener, and for [`ADMIN_MOST`] of them at
/// the admin one; or for as many as may be.
pub fn make_room(wanted: usize) -> Connections {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let needed = needed(wanted) as u64;
    // Without a limit there is nothing to raise.
    let Some(soft) = current.filter(|soft| *soft < needed) else { return share(usize::MAX, wanted) };
    let raised = maximum.map_or(needed, |hard| hard.min(needed)).max(soft);
    let allowed = match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }) {
        Ok(()) => raised,
        Err(_) => soft,
    };
    share(usize::try_from(allowed).unwrap_or(usize::MAX), wanted)
}

fn needed(wanted: usize) -> usize {
    wanted.saturating_add(wanted.min(ADMIN_MOST)).saturating_add(OWN_FILES)
}

/// Shares so many files among the listeners. Each gets one connection at the very least.
fn share(files: usize, wanted: usize) -> Connections {
    if files >= needed(wanted) {
        return Connections { storefront: wanted, admin: wanted.min(ADMIN_MOST), short: None };
    }
    let free = files.saturating_sub(OWN_FILES).max(2);
    let least = ADMIN_LEAST.min(wanted).min(free / 2);
    let storefront = wanted.min(free - least);
    let admin = wanted.min(ADMIN_MOST).min(free - storefront);
    Connections { storefront, admin, short: Some(files) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(files: usize, wanted: usize) -> (usize, usize, bool) {
        let Connections { storefront, admin, short } = share(files, wanted);
        assert!(storefront + admin <= files.max(2));
        (storefront, admin, short.is_some())
    }

    #[test]
    fn connections_get_what_the_files_allow_the_storefront_first() {
        assert_eq!(shared(usize::MAX, 16_384), (16_384, 1_024, false));
        assert_eq!(shared(17_664, 16_384), (16_384, 1_024, false));
        assert_eq!(shared(17_000, 16_384), (16_232, 512, true));
        assert_eq!(shared(4_096, 16_384), (3_328, 512, true));
        assert_eq!(shared(1_024, 16_384), (384, 384, true));
        assert_eq!(shared(10, 16_384), (1, 1, true));
        assert_eq!(shared(400, 100), (72, 72, true));
    }

    #[test]
    fn a_short_limit_is_told_with_all_numbers_and_the_way_out() {
        let text = share(1_024, 16_384).complaint(16_384).unwrap();
        for word in ["1024", "16384", "17664", "384", "LimitNOFILE=", "limits.http_connections"] {
            assert!(text.contains(word), "{text}");
        }
        assert_eq!(share(20_000, 16_384).complaint(16_384), None);
    }

    #[test]
    fn the_soft_limit_is_raised() {
        let Rlimit { current, .. } = getrlimit(Resource::Nofile);
        let room = make_room(8);
        assert_eq!((room.storefront, room.admin), (8, 8));
        assert!(getrlimit(Resource::Nofile).current >= current);
    }
}
