//! A chart of lines as SVG, legible on light and dark paper.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 620.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 310.0;
/// Of middling lightness, told apart by those who see no red too.
const COLOURS: [&str; 4] = ["#3b82c4", "#c4703b", "#7a7a7a", "#4a9a6a"];
const NEUTRAL: &str = "#808080";

/// What is drawn along the edges. The upright one is logarithmic.
pub(crate) struct Axes<'a> {
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    pub(crate) log_x: bool,
}

/// One line; two that follow each other, the second dashed, share a colour.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) dashed: bool,
}

/// From the values of an axis to its place on the paper.
struct Scale {
    log: bool,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn new(values: impl Iterator<Item = f64> + Clone, log: bool, from: f64, to: f64) -> Self {
        let (least, most) = values
            .fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if log { (least / 1.25, most * 1.25) } else { (least, most) };
        Self { log, low, high, from, to }
    }

    fn along(&self, value: f64) -> f64 {
        let part = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + part * (self.to - self.from)
    }

    /// 1, 2 and 5 of each power of ten, more or fewer if those are few or many; or four steps.
    fn ticks(&self) -> Vec<f64> {
        if !self.log {
            let step = (self.high - self.low) / 3.0;
            return (0..4).map(|tick| self.low + step * f64::from(tick)).collect();
        }
        let powers = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let steps: &[f64] = match self.high / self.low {
            wide if wide > 300.0 => &[1.0],
            narrow if narrow < 6.0 => &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0],
            _ => &[1.0, 2.0, 5.0],
        };
        let of = move |power: i32| steps.iter().map(move |step| step * 10f64.powi(power));
        powers.flat_map(of).filter(|tick| (self.low..=self.high).contains(tick)).collect()
    }
}

/// The whole picture.
pub(crate) fn chart(axes: &Axes<'_>, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| line.points.iter().copied());
    let x = Scale::new(
        points().map(|point| point.0).collect::<Vec<_>>().into_iter(),
        axes.log_x,
        LEFT,
        RIGHT,
    );
    let y = Scale::new(
        points().map(|point| point.1).collect::<Vec<_>>().into_iter(),
        true,
        BOTTOM,
        TOP,
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"{NEUTRAL}\">\n"
    );
    grid(&mut svg, &x, &y);
    let middle = (LEFT + RIGHT) / 2.0;
    let _ =
        writeln!(svg, "<text x=\"{middle}\" y=\"350\" text-anchor=\"middle\">{}</text>", axes.x);
    let upright = (TOP + BOTTOM) / 2.0;
    let _ = writeln!(
        svg,
        "<text x=\"16\" y=\"{upright}\" text-anchor=\"middle\" \
         transform=\"rotate(-90 16 {upright})\">{}</text>",
        axes.y
    );
    for (index, line) in lines.iter().enumerate() {
        draw(&mut svg, line, index, &x, &y);
    }
    svg + "</svg>\n"
}

fn grid(svg: &mut String, x: &Scale, y: &Scale) {
    for tick in y.ticks() {
        let (at, label) = (y.along(tick), number(tick));
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{RIGHT}\" y2=\"{at:.1}\" \
             stroke=\"{NEUTRAL}\" stroke-opacity=\"0.3\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
    for tick in x.ticks() {
        let (at, label) = (x.along(tick), number(tick));
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" y1=\"{BOTTOM}\" x2=\"{at:.1}\" y2=\"{:.1}\" stroke=\"{NEUTRAL}\"/>\n\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            BOTTOM + 4.0,
            BOTTOM + 18.0
        );
    }
}

fn draw(svg: &mut String, line: &Line, index: usize, x: &Scale, y: &Scale) {
    let colour = COLOURS[index / 2 % COLOURS.len()];
    let dash = if line.dashed { " stroke-dasharray=\"6 4\"" } else { "" };
    let places: Vec<String> = line
        .points
        .iter()
        .map(|(at, value)| format!("{:.1},{:.1}", x.along(*at), y.along(*value)))
        .collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>",
        places.join(" ")
    );
    let row = TOP + 4.0 + 16.0 * index as f64;
    let _ = writeln!(
        svg,
        "<line x1=\"{}\" y1=\"{row}\" x2=\"{}\" y2=\"{row}\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>\n\
         <text x=\"{}\" y=\"{}\">{}</text>",
        LEFT + 10.0,
        LEFT + 40.0,
        LEFT + 46.0,
        row + 4.0,
        line.name
    );
}

fn number(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{} M", v / 1e6),
        v if v >= 1e4 => format!("{} k", v / 1e3),
        v => format!("{}", (v * 1e3).round() / 1e3),
    }
}
