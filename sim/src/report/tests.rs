//! Whole pages: well formed, self-contained, and the same numbers as the recording's.
//!
//! To look at sample pages: `REPORT_SAMPLES=/tmp/reports cargo test -p stockade-sim report`.

use super::{compare, page, sample};
use crate::recording::{Band, Bucket, Latency, Mark, Node, NodeBucket, Recording};

/// Pages of every kind, by name.
fn pages() -> Vec<(&'static str, String)> {
    let mut failed = sample::ocean_cable();
    failed.violation = Some("conservation: TEE-RED-M: 41 units in the books, 40 <received>".into());
    let empty = Recording::default();
    vec![
        ("ocean", page(&sample::ocean_cable())),
        ("failed", page(&failed)),
        ("crowd", page(&sample::crowd())),
        ("one", page(&sample::one())),
        ("empty", page(&empty)),
        ("odd", page(&odd())),
        ("compare", compare(&sample::ocean_cable(), &sample::other_policy())),
        ("compare_empty", compare(&empty, &empty)),
        ("compare_odd", compare(&odd(), &sample::crowd())),
        ("compare_failed", compare(&sample::one(), &failed)),
    ]
}

/// A recording that contradicts itself wherever its types allow.
fn odd() -> Recording {
    let strange = Latency {
        answers: 3,
        p50: f64::NAN,
        p90: f64::INFINITY,
        p99: -4.0,
        max: f64::NAN,
        local_share: f64::NAN,
    };
    let most = NodeBucket {
        available: u64::MAX / 4,
        held: u64::MAX / 4,
        asked: u64::MAX / 8,
        ..NodeBucket::default()
    };
    Recording {
        title: "\u{202E}<script>alert('x')</script>".into(),
        about: "-->]]>&amp;</main>".into(),
        seconds: f64::NAN,
        nodes: vec![Node::default(), Node { name: "</th>\"'".repeat(40), region: "<g>".into() }],
        buckets: vec![
            Bucket { from: 5.0, nodes: vec![most] },
            Bucket { from: f64::NAN, nodes: vec![] },
            Bucket { from: 2.0, nodes: vec![NodeBucket::default(); 9] },
        ],
        bands: vec![Band { from: 9.0, to: -1.0, label: String::new(), nodes: vec![77] }],
        marks: vec![Mark { at: f64::INFINITY, label: "<b>".repeat(90) }],
        transfers: vec![vec![], vec![Default::default(); 5]],
        latency: vec![strange; 3],
        ..Recording::default()
    }
}

/// Elements that have no end tag.
const VOID: [&str; 3] = ["meta", "br", "hr"];

/// The first place where tags or quotes do not match, if any.
pub fn malformed(html: &str) -> Option<String> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html.strip_prefix("<!doctype html>\n")?;
    while let Some(start) = rest.find('<') {
        let tail = &rest[start + 1..];
        let Some(end) = tail.find('>') else { return Some(format!("open tag: {tail:.60}")) };
        let tag = &tail[..end];
        if tag.contains('<') || !tag.matches('"').count().is_multiple_of(2) {
            return Some(format!("odd tag: {tag}"));
        }
        let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap_or_default();
        if tag.starts_with('/') {
            let last = open.pop();
            if last != Some(name) {
                return Some(format!("{tag} closes {last:?}, before {:.60}", &tail[end..]));
            }
        } else if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
        rest = &tail[end + 1..];
        if name == "style" && !tag.starts_with('/') {
            rest = &rest[rest.find("</style>")?..];
        }
    }
    (!open.is_empty()).then(|| format!("never closed: {open:?}"))
}

#[test]
fn the_checker_of_tags_sees_what_is_wrong() {
    let check = |body: &str| malformed(&format!("<!doctype html>\n{body}"));
    assert_eq!(check("<p>a<br><b class=\"x\">c</b></p><svg><path d=\"\"/></svg>"), None);
    for wrong in ["<p>", "</p>", "<p><b></p></b>", "<p class=\"x>a</p>", "<p", "<p <b>></b></p>"] {
        assert!(check(wrong).is_some(), "{wrong}");
    }
}

#[test]
fn pages_are_well_formed_whatever_they_are_made_of() {
    for (name, html) in pages() {
        assert_eq!(malformed(&html), None, "{name}");
        let visible = html.split("</style>").last().expect("the page has a style");
        for wrong in ["NaN", "inf<", "inf ", ">inf", "-0\"", "width=\"-", "height=\"-"] {
            assert!(!visible.contains(wrong), "{name} has `{wrong}`");
        }
    }
}

#[test]
fn pages_need_nothing_from_elsewhere() {
    for (name, html) in pages() {
        for wrong in ["http:", "https:", "//", "<script", "<link", "<img", "url(", "@import", "href=", "src="]
        {
            let found =
                html.find(wrong).map(|at| html[at.saturating_sub(40)..].chars().take(90).collect::<String>());
            assert_eq!(found, None, "{name} has `{wrong}`");
        }
    }
}

#[test]
fn what_users_wrote_is_escaped_everywhere() {
    let html = page(&odd());
    assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
    assert_eq!(html.matches("</main>").count(), 1);
    assert!(!html.contains('\u{202E}'));
    let html = page(&sample::ocean_cable());
    assert!(html.contains("Größe 42 &lt;limited&gt; &amp; &quot;signed&quot;"));
}

#[test]
fn key_figures_are_those_of_the_recording() {
    let recording = sample::ocean_cable();
    let (html, totals) = (page(&recording), recording.totals);
    let count = super::numbers::count;
    let told = format!("in {} of {} orders", count(totals.orders_served), count(totals.orders));
    assert!(html.contains(&told), "{told}");
    for figure in [totals.units_moved, totals.avoidable, totals.messages, totals.elsewhere, totals.unknown] {
        assert!(figure > 0 && html.contains(&count(figure)), "{figure}");
    }
    assert!(html.contains("376 ms in the slowest region, ap-south"));
    assert!(html.contains("--seed 7 --report report.html"));
    assert!(!html.contains("class=\"violation\""));
    assert!(!html.contains("✗"));
}

#[test]
fn a_comparison_has_both_and_their_differences() {
    let (a, b) = (sample::ocean_cable(), sample::other_policy());
    let html = compare(&a, &b);
    assert!(html.contains("<h3>A · Ocean cable cut on a sale weekend</h3>"));
    assert!(html.contains("✓ better") && compare(&b, &a).contains("✗ worse"));
    let change = i128::from(b.totals.orders_served) - i128::from(a.totals.orders_served);
    assert!(change != 0 && html.contains(&super::numbers::signed(change)));
    assert_eq!(html.matches("= same").count(), compare(&b, &a).matches("= same").count());
}

#[test]
fn many_nodes_are_limited_and_counted() {
    let html = page(&sample::crowd());
    assert!(
        html.contains("and 56 more")
            && html.contains("and 40 more")
            && html.contains("and 48 more")
            && html.contains("the 54 more")
    );
    assert!(html.len() < 700_000, "{} bytes", html.len());
}

#[test]
fn the_same_recording_makes_the_same_bytes() {
    assert_eq!(page(&sample::ocean_cable()), page(&sample::ocean_cable()));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "for a person to look at")]
fn samples_are_written_where_asked() {
    let Ok(directory) = std::env::var("REPORT_SAMPLES") else { return };
    std::fs::create_dir_all(&directory).expect("the directory can be made");
    for (name, html) in pages() {
        std::fs::write(format!("{directory}/{name}.html"), html).expect("a sample can be written");
    }
}
