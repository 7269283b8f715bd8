//! The configuration as it stands in the file: every key is named here and nowhere else.
//!
//! Unknown keys are errors. Values keep their place in the file, so that a complaint about
//! one can name its line. Nothing is judged here; see [`super::Config`].

use serde::{Deserialize, Serialize};
use toml::Spanned;

type Text = Spanned<String>;
type Number = Spanned<u64>;

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub node: RawNode,
    pub http: RawHttp,
    pub peers: RawPeers,
    #[serde(default)]
    pub cluster: RawCluster,
    #[serde(default)]
    pub limits: RawLimits,
    #[serde(default)]
    pub log: RawLog,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNode {
    pub name: Text,
    pub region: Text,
    pub data_dir: Text,
    pub witness_dir: Option<Text>,
    pub on_unproven_start: Option<Text>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHttp {
    pub storefront: Text,
    pub admin: Text,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPeers {
    pub listen: Text,
    pub ca: Text,
    pub cert: Text,
    pub key: Text,
    pub segmentation_offload: Option<bool>,
    #[serde(default)]
    pub node: Vec<RawPeer>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPeer {
    pub name: Text,
    pub region: Text,
    pub address: Text,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCluster {
    pub autonomy: Option<Spanned<RawAutonomy>>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(
    untagged,
    expecting = "cluster.autonomy: write \"all\", a number of units, or a percentage such as \"1%\""
)]
pub(super) enum RawAutonomy {
    Units(u64),
    Text(String),
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    pub http_connections: Option<Number>,
    pub http_connections_per_address: Option<Number>,
    pub request_queue: Option<Number>,
    pub header_timeout_ms: Option<Number>,
    pub body_timeout_ms: Option<Number>,
    pub idle_timeout_ms: Option<Number>,
    pub remember_max_bytes: Option<Number>,
    pub remember_seconds: Option<Number>,
    pub min_horizon_seconds: Option<Number>,
    pub disk_headroom_bytes: Option<Number>,
    pub checkpoint_every_bytes: Option<Number>,
    pub history_days: Option<Number>,
    pub history_entries: Option<Number>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLog {
    pub format: Option<Text>,
    pub level: Option<Text>,
}
