//! Which node a command goes to, and how to name it to a person.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;

use crate::cli::client::BaseUrl;
use crate::cli::cluster::{Cluster, ClusterFile};
use crate::types::NodeName;

/// Where `stockade dev` keeps a cluster when it is not told otherwise.
pub const DEV_DIR: &str = "./stockade-data";
pub const URL_VARIABLE: &str = "STOCKADE_URL";
pub const ADMIN_VARIABLE: &str = "STOCKADE_ADMIN";

/// Which node to ask.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which node")]
pub struct TargetArgs {
    /// A node's storefront listener [env: STOCKADE_URL]
    #[arg(long, value_name = "URL", global = true)]
    url: Option<BaseUrl>,
    /// A node's admin listener [env: STOCKADE_ADMIN] [default: the port after --url]
    #[arg(long, value_name = "URL", global = true)]
    admin: Option<BaseUrl>,
    /// The directory of a cluster on this machine [default: ./stockade-data]
    #[arg(long, value_name = "DIR", global = true)]
    dev: Option<PathBuf>,
    /// A node of that cluster [default: the first]
    #[arg(long, value_name = "NAME", global = true, value_parser = NodeName::new)]
    node: Option<NodeName>,
}

/// What the process finds around it.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    pub url: Option<String>,
    pub admin: Option<String>,
    /// Where a cluster is looked for when nothing is said.
    pub dev_dir: PathBuf,
}

impl Surroundings {
    pub fn of_process() -> Surroundings {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        Surroundings { url: variable(URL_VARIABLE), admin: variable(ADMIN_VARIABLE), dev_dir: DEV_DIR.into() }
    }

    /// Whether the environment says which node is meant.
    pub fn names_a_node(&self) -> bool {
        self.url.is_some() || self.admin.is_some()
    }

    /// The cluster in `dir`, or the one that is here. `instead`: what else could be written.
    ///
    /// # Errors
    /// When there is none, or it cannot be used.
    pub fn cluster(&self, dir: Option<&Path>, instead: &str) -> anyhow::Result<Cluster> {
        let here = &self.dev_dir;
        ensure!(
            dir.is_some() || ClusterFile::is_at(here),
            "which nodes? There is no cluster in {}.\nWrite --dev DIR with the directory of a cluster made \
             by `stockade dev`, or\n{instead}.",
            here.display()
        );
        Cluster::open(dir.unwrap_or(here))
    }
}

/// A node's two listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Storefront,
    Admin,
}

/// The node that a command goes to.
#[derive(Clone, Debug)]
pub struct Target {
    name: Option<String>,
    storefront: Option<BaseUrl>,
    admin: Option<BaseUrl>,
    /// Nobody named the admin listener: it is looked for at the port after the storefront's.
    is_admin_guessed: bool,
    cluster: Option<Home>,
}

/// A cluster's directory and the admin listeners of its nodes.
#[derive(Clone, Debug)]
struct Home {
    dir: PathBuf,
    admins: Vec<(String, BaseUrl)>,
}

impl TargetArgs {
    /// What is written on the command line counts first, then the environment, then a
    /// cluster's directory that is there.
    ///
    /// # Errors
    /// When none of them names a node, or they contradict each other.
    pub fn resolve(&self, around: &Surroundings) -> anyhow::Result<Target> {
        let by_address = self.url.is_some() || self.admin.is_some();
        let by_directory = self.dev.is_some() || self.node.is_some();
        ensure!(
            !(by_address && by_directory),
            "--url and --admin say where a node is, --dev and --node look it up in a cluster's directory: \
             give one or the other"
        );
        if by_address {
            return Ok(Target::at(self.url.clone(), self.admin.clone()));
        }
        let dir = self.dev.as_deref().unwrap_or(&around.dev_dir);
        if by_directory {
            return Target::in_cluster(dir, self.node.as_ref());
        }
        if around.names_a_node() {
            let read = |name: &str, text: &Option<String>| {
                let parse = |text: &String| text.parse::<BaseUrl>().map_err(anyhow::Error::msg);
                text.as_ref().map(parse).transpose().with_context(|| name.to_owned())
            };
            return Ok(Target::at(read(URL_VARIABLE, &around.url)?, read(ADMIN_VARIABLE, &around.admin)?));
        }
        if ClusterFile::is_at(dir) {
            return Target::in_cluster(dir, None);
        }
        bail!(
            "which node? There is no cluster in {}.\n\
             Write --admin http://HOST:7301 or --url http://HOST:7300, or --dev DIR with\n\
             the directory of a cluster made by `stockade dev`.\n\
             The variables {ADMIN_VARIABLE} and {URL_VARIABLE} do as well.",
            dir.display()
        )
    }
}

impl Target {
    fn at(storefront: Option<BaseUrl>, admin: Option<BaseUrl>) -> Target {
        let by_habit = || storefront.as_ref().and_then(|url| url.next_port().ok());
        let is_admin_guessed = admin.is_none();
        let admin = admin.or_else(by_habit);
        Target { name: None, storefront, admin, is_admin_guessed, cluster: None }
    }

    fn in_cluster(dir: &Path, node: Option<&NodeName>) -> anyhow::Result<Target> {
        let cluster = Cluster::open(dir)?;
        let admins = cluster.named_admins();
        let names: Vec<&str> = admins.iter().map(|(name, _)| name.as_str()).collect();
        let place = match node {
            None => 0,
            Some(wanted) => names.iter().position(|name| *name == wanted.as_str()).with_context(|| {
                format!("there is no node {wanted} in {}; it has {}", dir.display(), names.join(", "))
            })?,
        };
        let chosen = cluster.nodes.get(place).with_context(|| format!("{} has no nodes", dir.display()))?;
        let (storefront, admin) = (Some(chosen.storefront()), Some(chosen.admin()));
        let name = names.get(place).map(|name| (*name).to_owned());
        let cluster = Some(Home { dir: dir.to_path_buf(), admins });
        Ok(Target { name, storefront, admin, is_admin_guessed: false, cluster })
    }

    /// # Errors
    /// When this listener is not known.
    pub fn base(&self, side: Side) -> anyhow::Result<&BaseUrl> {
        match side {
            Side::Storefront => self.storefront.as_ref().with_context(|| {
                format!("this goes to a storefront listener: add --url http://HOST:7300 (or {URL_VARIABLE})")
            }),
            Side::Admin => self.admin.as_ref().with_context(|| {
                format!("this goes to an admin listener: add --admin http://HOST:7301 (or {ADMIN_VARIABLE})")
            }),
        }
    }

    /// The node as a person knows it.
    pub fn called(&self, side: Side) -> Called<'_> {
        let base = match side {
            Side::Storefront => self.storefront.as_ref(),
            Side::Admin => self.admin.as_ref(),
        };
        Called { name: self.name.as_deref(), base }
    }

    /// The node's name, when the cluster's directory tells it.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// All nodes whose admin listeners are known, when there are more than this one.
    pub fn all_admins(&self) -> &[(String, BaseUrl)] {
        self.cluster.as_ref().map_or(&[], |home| &home.admins)
    }

    /// The options that lead another command to this node's admin listener.
    pub fn admin_options(&self) -> String {
        match (&self.name, &self.cluster, &self.admin) {
            (Some(name), Some(Home { dir, .. }), _) if dir == Path::new(DEV_DIR) => format!("--node {name}"),
            (Some(name), Some(Home { dir, .. }), _) => format!("--dev {} --node {name}", dir.display()),
            (_, _, Some(admin)) => format!("--admin {admin}"),
            _ => String::new(),
        }
    }

    /// What to do when nobody answers.
    pub fn advice(&self, side: Side) -> String {
        match &self.cluster {
            Some(Home { dir, .. }) => {
                let dev = match dir == Path::new(DEV_DIR) {
                    true => "stockade dev".to_owned(),
                    false => format!("stockade dev --data {}", dir.display()),
                };
                let file = dir.join(self.name.as_deref().unwrap_or("NODE")).join("stockade.toml");
                format!(
                    "Is the cluster running? `{dev}` starts it; this node alone:\n  stockade serve --config {}",
                    file.display()
                )
            }
            None if side == Side::Admin && self.is_admin_guessed => {
                "It is the port after --url, where an admin listener is by default; --admin names another.\n\
                 Is the cluster running, and is the address right?"
                    .to_owned()
            }
            None => "Is the cluster running, and is the address right?".to_owned(),
        }
    }
}

/// A node's name and address, or what of them is known.
#[derive(Clone, Copy, Debug)]
pub struct Called<'a> {
    name: Option<&'a str>,
    base: Option<&'a BaseUrl>,
}

impl fmt::Display for Called<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name, self.base) {
            (Some(name), Some(base)) => write!(f, "{name} ({base})"),
            (None, Some(base)) => write!(f, "{base}"),
            (Some(name), None) => f.write_str(name),
            (None, None) => f.write_str("the node"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::dev_cluster_for_tests;

    fn url(text: &str) -> Option<BaseUrl> {
        Some(text.parse().unwrap())
    }

    fn nowhere() -> Surroundings {
        Surroundings { dev_dir: "/nonexistent/stockade-data".into(), ..Surroundings::default() }
    }

    #[test]
    fn an_admin_listener_is_the_port_after_the_storefronts() {
        let args = TargetArgs { url: url("http://h:7300"), ..TargetArgs::default() };
        let target = args.resolve(&nowhere()).unwrap();
        assert_eq!(target.base(Side::Admin).unwrap().to_string(), "http://h:7301");
        assert_eq!(target.called(Side::Admin).to_string(), "http://h:7301");
        assert_eq!(target.admin_options(), "--admin http://h:7301");
        assert!(target.advice(Side::Admin).contains("the port after --url"));
        assert!(!target.advice(Side::Storefront).contains("--url"));
        let args = TargetArgs { admin: url("http://h:7301"), ..TargetArgs::default() };
        let error = args.resolve(&nowhere()).unwrap().base(Side::Storefront).unwrap_err().to_string();
        assert!(error.contains("--url") && error.contains("STOCKADE_URL"), "{error}");
    }

    #[test]
    fn without_anything_said_the_error_says_what_to_write() {
        let error = TargetArgs::default().resolve(&nowhere()).unwrap_err().to_string();
        for wanted in ["/nonexistent", "--admin", "--url", "--dev", "STOCKADE_ADMIN", "STOCKADE_URL"] {
            assert!(error.contains(wanted), "{wanted}: {error}");
        }
    }

    #[test]
    fn the_command_line_counts_before_the_environment_and_that_before_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        dev_cluster_for_tests(dir.path());
        let here = Surroundings { dev_dir: dir.path().into(), ..Surroundings::default() };
        let target = TargetArgs::default().resolve(&here).unwrap();
        assert_eq!(target.called(Side::Admin).to_string(), "us-1 (http://127.0.0.1:7301)");
        assert_eq!(target.all_admins().len(), 3);

        let told = Surroundings { admin: Some("http://env:1".into()), ..here.clone() };
        let target = TargetArgs::default().resolve(&told).unwrap();
        assert_eq!(target.base(Side::Admin).unwrap().to_string(), "http://env:1");

        let node = Some(NodeName::new("eu-2").unwrap());
        let target = TargetArgs { node, ..TargetArgs::default() }.resolve(&told).unwrap();
        assert_eq!(target.called(Side::Storefront).to_string(), "eu-2 (http://127.0.0.1:7320)");
        let home = dir.path().display();
        assert_eq!(target.admin_options(), format!("--dev {home} --node eu-2"));
        let advice = target.advice(Side::Admin);
        for wanted in [format!("dev --data {home}"), format!("serve --config {home}/eu-2/stockade.toml")] {
            assert!(advice.contains(&wanted), "{wanted}: {advice}");
        }

        let told = Surroundings { url: Some("ftp://x".into()), ..here };
        let error = format!("{:#}", TargetArgs::default().resolve(&told).unwrap_err());
        assert!(error.contains("STOCKADE_URL") && error.contains("http"), "{error}");
    }

    #[test]
    fn a_node_that_is_not_there_is_told_with_those_that_are() {
        let dir = tempfile::tempdir().unwrap();
        dev_cluster_for_tests(dir.path());
        let node = Some(NodeName::new("mars").unwrap());
        let args = TargetArgs { dev: Some(dir.path().into()), node, ..TargetArgs::default() };
        let error = args.resolve(&nowhere()).unwrap_err().to_string();
        assert!(error.contains("us-1, eu-1, eu-2"), "{error}");
        let args =
            TargetArgs { dev: Some(dir.path().into()), url: url("http://h:1"), ..TargetArgs::default() };
        assert!(args.resolve(&nowhere()).is_err(), "both ways at once");
    }
}
