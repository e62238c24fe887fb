//! Drawing.

use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use ringfence_testbed::lab::Contender;

use super::Plot;
use super::axis::Axis;
use super::chart::{Chart, Line, Panel};
use super::style::{Marker, Style, style};
use crate::record::RecordError;

/// The size of a panel in pixels.
const PANEL: (u32, u32) = (470, 430);
/// How many panels lie beside each other.
const COLUMNS: usize = 2;
/// What has to be said of every plot.
const NOTE: &str = "Markers are moved sideways a little, so that equal figures do not hide each other; vertical strokes reach from one pass to the other.";
/// The width of the legend.
const LEGEND: u32 = 220;
/// The height of the title.
const TITLE: u32 = 40;
/// The height of a line of the note.
const NOTE_LINE: u32 = 17;
/// How many characters of the note fit into the width of one panel.
const NOTE_CHARACTERS: usize = 74;

/// How far neighbouring contenders lie beside each other, as a share of the axis.
const ASIDE: f64 = 0.004;

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Context<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Draws a chart.
pub fn plot(chart: &Chart) -> Result<Plot, RecordError> {
    let mut svg = String::new();
    let drawn = picture(chart, &mut svg);
    drawn.map_err(|error| RecordError::Plot {
        file: chart.file.to_owned(),
        why: error.to_string(),
    })?;
    let Chart { file, title, note, .. } = chart;
    Ok(Plot { file, title: title.clone(), note: note.clone(), svg })
}

fn picture(chart: &Chart, svg: &mut String) -> Drawn {
    let columns = chart.panels.len().min(COLUMNS);
    let rows = chart.panels.len().div_ceil(COLUMNS);
    let note = format!("{} {NOTE}", chart.note);
    let note = wrapped(&note, NOTE_CHARACTERS * columns + NOTE_CHARACTERS * 2 / 5);
    let width = PANEL.0 * u32::try_from(columns)? + LEGEND;
    let height = PANEL.1 * u32::try_from(rows)?;
    let foot = NOTE_LINE * u32::try_from(note.len())? + 12;
    let root = SVGBackend::with_string(svg, (width, TITLE + height + foot)).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, rest) = root.split_vertically(TITLE);
    let middle = Pos::new(HPos::Center, VPos::Center);
    let title = font(18).into_text_style(&head).pos(middle);
    head.draw(&Text::new(chart.title.clone(), (i32::try_from(width / 2)?, 20), title))?;
    let (middle, foot) = rest.split_vertically(height);
    let (panels, legend) = middle.split_horizontally(width - LEGEND);
    for (area, panel) in panels.split_evenly((rows, columns)).iter().zip(&chart.panels) {
        draw_panel(area, panel)?;
    }
    draw_legend(&legend, chart)?;
    for (row, line) in note.iter().enumerate() {
        let place = (14, i32::try_from(NOTE_LINE)? * i32::try_from(row)? + 4);
        foot.draw(&Text::new(line.clone(), place, font(12).color(&RGBColor(70, 70, 70))))?;
    }
    root.present()?;
    Ok(())
}

fn font(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&BLACK)
}

fn draw_panel(area: &Area<'_>, panel: &Panel) -> Drawn {
    let mut context = ChartBuilder::on(area)
        .margin(10)
        .margin_right(16)
        .caption(&panel.title, font(14))
        .x_label_area_size(46)
        .y_label_area_size(78)
        .build_cartesian_2d(panel.x.clone(), panel.y.clone())?;
    context
        .configure_mesh()
        .x_desc(&panel.x.label)
        .y_desc(&panel.y.label)
        .label_style(font(12))
        .axis_desc_style(font(13))
        .bold_line_style(RGBColor(205, 205, 205))
        .light_line_style(RGBColor(236, 236, 236))
        .draw()?;
    // Backwards, so that those that come first lie on top.
    for line in panel.lines.iter().rev() {
        draw_line(&mut context, panel, line)?;
    }
    Ok(())
}

fn draw_line(context: &mut Context<'_, '_>, panel: &Panel, line: &Line) -> Drawn {
    let style = style(line.contender);
    let aside = aside(line.contender) * (panel.x.range.1 - panel.x.range.0);
    let at = |x: f64, y: f64| (panel.x.position(x) + aside, panel.y.position(y));
    let points: Vec<(f64, f64)> = line.points.iter().map(|point| at(point.x, point.y)).collect();
    let stroke = style.colour.stroke_width(style.width);
    match style.dash {
        None => context.draw_series(LineSeries::new(points.clone(), stroke))?,
        Some((dash, gap)) => {
            context.draw_series(DashedLineSeries::new(points.clone(), dash, gap, stroke))?
        }
    };
    for point in &line.points {
        let (least, greatest) = point.range;
        let ends = vec![at(point.x, least), at(point.x, greatest)];
        context.draw_series([PathElement::new(ends, style.colour.stroke_width(1))])?;
    }
    for (x, y) in points {
        let place = context.backend_coord(&(x, y));
        draw_marker(context.plotting_area(), place, &style)?;
    }
    Ok(())
}

/// How far a contender's line is moved sideways, as a share of the axis, so that equal figures do
/// not hide each other.
fn aside(contender: Contender) -> f64 {
    let all = Contender::ALL;
    let place = all.iter().position(|other| *other == contender).unwrap_or_default();
    (place as f64 - (all.len() - 1) as f64 / 2.0) * ASIDE
}

/// A marker at a place of the whole picture.
fn draw_marker<C: CoordTranslate>(
    area: &DrawingArea<SVGBackend<'_>, C>,
    place: (i32, i32),
    style: &Style,
) -> Drawn {
    let area = area.strip_coord_spec();
    let (left, top) = area.get_base_pixel();
    let (x, y) = (place.0 - left, place.1 - top);
    let inside = if style.is_filled { style.colour } else { WHITE };
    let line = style.colour.stroke_width(2);
    let corners = |offsets: &[(i32, i32)]| -> Vec<(i32, i32)> {
        offsets.iter().map(|(right, down)| (x + right, y + down)).collect()
    };
    let offsets: &[(i32, i32)] = match style.marker {
        Marker::Circle => {
            area.draw(&Circle::new((x, y), 4, inside.filled()))?;
            area.draw(&Circle::new((x, y), 4, line))?;
            return Ok(());
        }
        Marker::Cross => {
            area.draw(&PathElement::new(corners(&[(-4, -4), (4, 4)]), line))?;
            area.draw(&PathElement::new(corners(&[(-4, 4), (4, -4)]), line))?;
            return Ok(());
        }
        Marker::Square => &[(-4, -4), (4, -4), (4, 4), (-4, 4)],
        Marker::Up => &[(0, -5), (5, 4), (-5, 4)],
        Marker::Down => &[(0, 5), (5, -4), (-5, -4)],
        Marker::Diamond => &[(0, -6), (5, 0), (0, 6), (-5, 0)],
    };
    area.draw(&Polygon::new(corners(offsets), inside.filled()))?;
    let mut outline = corners(offsets);
    outline.push(outline[0]);
    area.draw(&PathElement::new(outline, line))?;
    Ok(())
}

fn draw_legend(area: &Area<'_>, chart: &Chart) -> Drawn {
    let (left, top) = area.get_base_pixel();
    for (row, contender) in (0_i32..).zip(chart.contenders()) {
        let style = style(contender);
        let y = 40 + row * 22;
        let stroke = style.colour.stroke_width(style.width);
        let (from, to) = ((8, y), (48, y));
        match style.dash {
            None => area.draw(&PathElement::new(vec![from, to], stroke))?,
            Some((dash, gap)) => {
                area.draw(&DashedPathElement::new(vec![from, to], dash, gap, stroke))?;
            }
        }
        draw_marker(area, (left + 28, top + y), &style)?;
        let text = font(13).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(contender.title(), (58, y), text))?;
    }
    Ok(())
}

/// Lines of at most so many characters.
fn wrapped(text: &str, characters: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > characters {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}
