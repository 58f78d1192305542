//! Runs as a picture: the pressure of every node over time, policies side by side, a row for each scenario.

use std::error::Error;
use std::path::Path;

use plotters::chart::{ChartBuilder, SeriesLabelPosition};
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{PathElement, Rectangle};
use plotters::prelude::SVGBackend;
use plotters::series::LineSeries;
use plotters::style::{BLACK, Color, RED, RGBColor, WHITE};

use super::{PICTURE_EVERY, Play, Run};
use crate::simulate::Fleet;

/// Pixels.
const PANEL: (u32, u32) = (360, 330);
const TITLE: u32 = 18;
const TEXT: u32 = 14;

/// Colours of sites, told apart by the colour-blind too (Okabe and Ito, 2008), in turn if there are more sites.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(120, 60, 20),
];

/// Draws the runs that kept pressures into an SVG file.
pub(super) fn draw(file: &Path, plays: &[Play], names: &[String], runs: &[Run]) -> Result<(), Box<dyn Error>> {
    let mut svg = String::new();
    let size = (PANEL.0 * names.len() as u32, PANEL.1 * plays.len() as u32);
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        let panels = root.split_evenly((plays.len(), names.len()));
        for (number, panel) in panels.iter().enumerate() {
            let (scenario, name) = (number / names.len(), &names[number % names.len()]);
            let kept =
                |run: &&Run| run.scenario == scenario && run.policy == *name && !run.outcome.pressures.is_empty();
            if let Some(run) = runs.iter().find(kept) {
                let highest = runs.iter().filter(|run| run.scenario == scenario).flat_map(|run| &run.outcome.pressures);
                let highest = highest.flatten().copied().fold(1.0, f32::max);
                draw_panel(panel, &plays[scenario], run, highest * 1.05)?;
            }
        }
        root.present()?;
    }
    Ok(std::fs::write(file, svg)?)
}

fn draw_panel(
    panel: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    play: &Play,
    run: &Run,
    highest: f32,
) -> Result<(), Box<dyn Error>> {
    let minutes = f64::from(play.scenario.length) / 60.0;
    let title = format!("{} {}: {}, seed {}", play.name, play.scenario.title, run.policy, run.seed);
    let mut chart = ChartBuilder::on(panel)
        .caption(title, ("sans-serif", TITLE))
        .margin(10)
        // Half of the last label is beyond the axis.
        .margin_right(18)
        .x_label_area_size(40)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..minutes, 0.0..f64::from(highest))?;
    chart
        .configure_mesh()
        .max_light_lines(0)
        .x_labels(7)
        .x_label_formatter(&|minute| format!("{minute:.0}"))
        .x_desc("minutes")
        .y_desc("pressure of each node")
        .label_style(("sans-serif", TEXT))
        .axis_desc_style(("sans-serif", TEXT))
        .draw()?;
    let overload = [(0.0, 1.0), (minutes, f64::from(highest))];
    chart.draw_series([Rectangle::new(overload, RED.mix(0.12).filled())])?;
    chart.draw_series(LineSeries::new([(0.0, 1.0), (minutes, 1.0)], RED))?;
    let fleet = Fleet::new(&play.world);
    for (node, configured) in fleet.nodes.iter().enumerate() {
        let colour = COLOURS[configured.site % COLOURS.len()];
        let points = run.outcome.pressures.iter().enumerate().map(|(step, pressures)| {
            let minute = step as f64 * f64::from(PICTURE_EVERY) / 60.0;
            (minute, f64::from(pressures[node]))
        });
        let series = chart.draw_series(LineSeries::new(points, colour.mix(0.8)))?;
        // One line of the legend for each site.
        if fleet.sites[configured.site].first() == Some(&node) {
            let mark = colour.stroke_width(3);
            series
                .label(&fleet.regions[configured.site])
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], mark));
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", TEXT))
        .draw()?;
    Ok(())
}
