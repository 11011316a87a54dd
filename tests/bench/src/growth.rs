//! How a round grows with its devices, its coordinates and its losses, each with the model's line.

use sealsum_protocol::mask::Suite;

use crate::backend;
use crate::other_peers::budget;
use crate::plot::{Axes, Line, chart};
use crate::round::{Shape, run};
use crate::round_model::Primitives;

/// One thing that grows, the rest fixed.
struct Sweep {
    name: &'static str,
    x: &'static str,
    log_x: bool,
    shapes: Vec<(f64, Shape)>,
}

/// A picture of `docs/images` and what it shows.
pub(crate) struct Picture {
    pub(crate) file: String,
    pub(crate) caption: String,
    pub(crate) svg: String,
}

/// One measured point.
struct Point {
    x: f64,
    /// Client, server, upload: measured and by the model.
    measured: [f64; 3],
    model: [f64; 3],
}

const PARTS: [(&str, &str, &str); 3] = [
    ("client", "CPU of a client, ms", "mean CPU time of a client"),
    ("server", "CPU of the server, ms", "CPU time of the server on one thread"),
    ("upload", "bytes up, kB", "bytes that a client sends"),
];

fn sweeps(suite: Suite) -> [Sweep; 3] {
    let shape = |n, d, lost| Shape { suite, ..Shape::new(n, d, lost) };
    let devices = [10, 20, 50, 100, 200].map(|n| (n as f64, shape(n, 100_000, n / 10)));
    let coordinates = [10_000, 100_000, 1_000_000].map(|d| (d as f64, shape(32, d, 3)));
    let losses = [0, 10, 20, 30].map(|lost| (lost as f64, shape(100, 100_000, lost)));
    [
        Sweep {
            name: "devices",
            x: "devices (d = 100,000, one in ten lost)",
            log_x: true,
            shapes: devices.into(),
        },
        Sweep {
            name: "coordinates",
            x: "coordinates (n = 32, 3 lost)",
            log_x: true,
            shapes: coordinates.into(),
        },
        Sweep {
            name: "losses",
            x: "devices lost, of 100 (d = 100,000)",
            log_x: false,
            shapes: losses.into(),
        },
    ]
}

/// Three pictures for each thing that grows, with a line for each suite and its model.
pub(crate) fn pictures(suites: &[Suite]) -> Vec<Picture> {
    let measured: Vec<(Suite, [Sweep; 3])> =
        suites.iter().map(|suite| (*suite, sweeps(*suite))).collect();
    let mut pictures = Vec::new();
    for index in 0..3 {
        let lines: Vec<(Suite, Vec<Point>)> = measured
            .iter()
            .map(|(suite, sweeps)| (*suite, sweeps[index].shapes.iter().map(point).collect()))
            .collect();
        let sweep = &measured[0].1[index];
        pictures.extend((0..3).map(|part| picture(sweep, part, &lines)));
    }
    pictures
}

fn point((x, shape): &(f64, Shape)) -> Point {
    let round = run(shape, backend(shape.suite));
    let (k, t) = (round.counts().k, round.counts().t);
    let primitives = Primitives::now(k, t);
    let model = [
        1e3 * primitives.client(&round, None),
        1e3 * primitives.server(&round),
        budget(&round) / 1e3,
    ];
    let measured =
        [1e3 * round.client_cpu_s, 1e3 * round.server_cpu_s, round.upload_bytes as f64 / 1e3];
    Point { x: *x, measured, model }
}

fn picture(sweep: &Sweep, part: usize, lines: &[(Suite, Vec<Point>)]) -> Picture {
    let (name, y, caption) = PARTS[part];
    let model = if name == "upload" { "budget" } else { "cost model" };
    let line = |suite: &Suite, points: &[Point], of: fn(&Point) -> &[f64; 3], dashed: bool| Line {
        name: if dashed { format!("{}, {model}", suite.name()) } else { suite.name().to_owned() },
        points: points.iter().map(|point| (point.x, of(point)[part])).collect(),
        dashed,
    };
    // Bytes are the same in every suite.
    let shown = if name == "upload" { &lines[..1] } else { lines };
    let drawn: Vec<Line> = shown
        .iter()
        .flat_map(|(suite, points)| {
            [line(suite, points, |p| &p.measured, false), line(suite, points, |p| &p.model, true)]
        })
        .collect();
    let axes = Axes { x: sweep.x, y, log_x: sweep.log_x };
    Picture {
        file: format!("bench-{}-{name}.svg", sweep.name),
        caption: format!("{caption} against {}", sweep.name),
        svg: chart(&axes, &drawn),
    }
}
