"""Panels, variables and annotations as Grafana's foundation SDK builds them.

The only module that knows the SDK's builders of panels. What is the same in all panels is decided here:
colours, legends, thresholds, links into traces. Nothing is used that Grafana 11.0 does not know.
"""

import json
import re
import string
import urllib.parse

from grafana_foundation_sdk.builders import (
    bargauge, common as common_builder, dashboard as builder, gauge, heatmap, prometheus, stat, statetimeline,
    table, timeseries)
from grafana_foundation_sdk.models import common, dashboard as model, heatmap as heatmap_model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

# Fixed in monitoring/grafana/provisioning/datasources/.
TEMPO = "tempo"
METRICS = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
COLUMNS = 24
HEIGHT = 8
BUILDERS = {
    "timeseries": timeseries.Panel, "stat": stat.Panel, "gauge": gauge.Panel, "bars": bargauge.Panel,
    "heatmap": heatmap.Panel, "states": statetimeline.Panel, "table": table.Panel,
}


class Built:
    """Something whole where the SDK wants a builder."""

    def __init__(self, whole):
        self.whole = whole

    def build(self):
        return self.whole


def explore(traceql):
    """The address of Explore with this question to Tempo; Grafana fills in the `${…}`."""
    panes = {"traces": {
        "datasource": TEMPO,
        "queries": [{"refId": "A", "datasource": {"type": "tempo", "uid": TEMPO}, "queryType": "traceql",
                     "query": traceql, "limit": 20, "tableType": "traces"}],
        "range": {"from": "${__from}", "to": "${__to}"},
    }}
    pieces = re.split(r"(\$\{[^}]*\})", json.dumps(panes, separators=(",", ":")))
    quoted = "".join(piece if piece.startswith("${") else urllib.parse.quote(piece, safe="") for piece in pieces)
    return f"/explore?schemaVersion=1&orgId=1&panes={quoted}"


def thresholds(bad):
    steps = [model.Threshold(value=None, color="green")]
    if bad and bad.below:
        steps = [model.Threshold(value=None, color="red"), model.Threshold(value=bad.critical, color="orange"),
                 model.Threshold(value=bad.warning, color="green")]
    elif bad:
        if bad.warning < bad.critical:
            steps.append(model.Threshold(value=bad.warning, color="orange"))
        steps.append(model.Threshold(value=bad.critical, color="red"))
    return builder.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def target(letter, query, kind):
    drawn = prometheus.Dataquery().ref_id(letter).datasource(METRICS).expr(query.expr)
    if query.legend:
        drawn.legend_format(query.legend)
    drawn = drawn.instant() if query.instant else drawn.range()
    if query.exemplars:
        drawn.exemplar(True)
    if kind in ("table", "heatmap"):
        drawn.format(PromQueryFormat.TABLE if kind == "table" else PromQueryFormat.HEATMAP)
    return drawn


def legend(queries):
    drawn = common_builder.VizLegendOptions().show_legend(True)
    drawn.display_mode(common.LegendDisplayMode.LIST).placement(common.LegendPlacement.BOTTOM)
    return drawn.calcs(["lastNotNull", "max"]) if queries else drawn


def draw_timeseries(drawn, panel):
    drawn.legend(legend(panel.queries)).line_width(1).fill_opacity(30 if panel.stacked else 8)
    drawn.show_points(common.VisibilityMode.NEVER).span_nulls(False)
    drawn.color_scheme(builder.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
    drawn.tooltip(common_builder.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
    if panel.stacked:
        drawn.stacking(common_builder.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if panel.thresholds:
        style = common_builder.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        drawn.thresholds_style(style)


def last_values():
    return common_builder.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("")


def draw_stat(drawn, panel):
    drawn.reduce_options(last_values()).graph_mode(common.BigValueGraphMode.AREA)
    drawn.color_mode(common.BigValueColorMode.VALUE).text_mode(common.BigValueTextMode.VALUE_AND_NAME)


def draw_gauge(drawn, panel):
    drawn.reduce_options(last_values()).show_threshold_markers(True)


def draw_bars(drawn, panel):
    drawn.reduce_options(last_values()).orientation(common.VizOrientation.HORIZONTAL)
    drawn.display_mode(common.BarGaugeDisplayMode.BASIC).value_mode(common.BarGaugeValueMode.COLOR)


def draw_heatmap(drawn, panel):
    drawn.calculate(False).show_legend().cell_gap(1)
    drawn.y_axis(heatmap.YAxisConfig().unit(panel.unit).axis_placement(common.AxisPlacement.LEFT))
    drawn.cell_values(heatmap.CellValues().unit("reqps"))
    drawn.color(heatmap.HeatmapColorOptions().mode(heatmap_model.HeatmapColorMode.SCHEME).scheme("Oranges").steps(64).reverse(False).fill("dark-orange").exponent(0.5))
    drawn.mode(common.TooltipDisplayMode.SINGLE)


def draw_states(drawn, panel):
    drawn.show_value(common.VisibilityMode.AUTO).row_height(0.8).merge_values(True)
    drawn.legend(legend(()))
    mapping = {str(value): model.ValueMappingResult(text=text, color=color, index=index)
               for index, (value, text, color) in enumerate(panel.states)}
    drawn.mappings([model.ValueMap(options=mapping)])


def draw_table(drawn, panel):
    drawn.show_header(True)
    drawn.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    drawn.with_transformation(model.DataTransformerConfig(id_val="organize", options={"excludeByName": {"Time": True}}))
    for letter, query in zip(string.ascii_uppercase, panel.queries):
        drawn.override_by_name(f"Value #{letter}", [
            model.DynamicConfigValue(id_val="displayName", value=query.column),
            model.DynamicConfigValue(id_val="unit", value=query.unit)])


DRAWN = {
    "timeseries": draw_timeseries, "stat": draw_stat, "gauge": draw_gauge, "bars": draw_bars,
    "heatmap": draw_heatmap, "states": draw_states, "table": draw_table,
}


def draw(panel, number, place, own=None):
    """The panel at its place. `own` is title and uid of the dashboard of its subject, where this is another."""
    drawn = BUILDERS[panel.kind]().id(number).title(panel.title).description(panel.description).datasource(METRICS)
    drawn.grid_pos(place).targets([target(*named, panel.kind) for named in zip(string.ascii_uppercase, panel.queries)])
    drawn.unit(panel.unit).thresholds(thresholds(panel.thresholds))
    if panel.kind not in ("timeseries", "heatmap"):
        drawn.color_scheme(builder.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    if panel.lowest is not None:
        drawn.min(panel.lowest)
    if panel.highest is not None and panel.kind in ("gauge", "bars"):
        drawn.max(panel.highest)
    if panel.decimals is not None:
        drawn.decimals(panel.decimals)
    DRAWN[panel.kind](drawn, panel)
    if panel.traces:
        drawn.data_links([builder.DashboardLink("Traces of this").type(model.DashboardLinkType.LINK)
                          .url(explore(panel.traces)).target_blank(True)])
    if own:
        title, uid = own
        drawn.links([builder.DashboardLink(title).type(model.DashboardLinkType.LINK)
                     .url(f"/d/{uid}?${{__url_time_range}}&${{__all_variables}}")])
    return drawn


def lines_of(panels):
    """Panels line by line: as few lines as their widths need, and as many panels in each where that fits."""
    lines, line = [], []
    for panel in panels:
        if sum(one.width for one in line) + panel.width > COLUMNS:
            lines.append(line)
            line = []
        line.append(panel)
    lines.append(line)
    bounds = [round(index * len(panels) / len(lines)) for index in range(len(lines) + 1)]
    even = [panels[start:end] for start, end in zip(bounds, bounds[1:])]
    return even if all(sum(panel.width for panel in line) <= COLUMNS for line in even) else lines


def places(panels, top):
    """Where panels stand, each line filled to its end; and the first free line below."""
    found = []
    for line in lines_of(panels):
        spare, left = COLUMNS - sum(panel.width for panel in line), 0
        for index, panel in enumerate(line):
            width = panel.width + spare // len(line) + (1 if index < spare % len(line) else 0)
            found.append(model.GridPos(x=left, y=top, w=width, h=HEIGHT))
            left += width
        top += HEIGHT
    return found, top


def everything():
    return model.VariableOption(selected=True, text="All", value="$__all")


def from_labels(name, label, description, query, sort=model.VariableSort.ALPHABETICAL_ASC, all_value=None):
    """A variable whose values are those of a label, as Prometheus has them in the time shown."""
    drawn = builder.QueryVariable(name).label(label).description(description).datasource(METRICS)
    drawn.query({"query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"})
    drawn.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(sort).multi(True).include_all(True).current(everything())
    return drawn.all_value(all_value) if all_value else drawn


def from_list(name, label, description, values, all_value):
    """A variable of fixed values: text and what it stands for."""
    options = [model.VariableOption(selected=True, text="All", value="$__all")]
    options += [model.VariableOption(selected=False, text=text, value=value) for text, value in values]
    drawn = builder.CustomVariable(name).label(label).description(description).multi(True).include_all(True)
    drawn.values(", ".join(f"{text} : {value}" for text, value in values)).options(options)
    return drawn.all_value(all_value).current(everything())


def of_datasources(name, label, kind):
    return builder.DatasourceVariable(name).label(label).type(kind).current(
        model.VariableOption(selected=True, text="Prometheus", value="prometheus"))


class PrometheusAnnotation(model.AnnotationQuery):
    """An annotation by a query. Grafana reads four fields from it that the SDK's type does not list
    (https://grafana.com/docs/grafana/latest/datasources/prometheus/annotations/)."""

    def __init__(self, title, text, tags, **rest):
        super().__init__(datasource=METRICS, **rest)
        self.more = {"titleFormat": title, "textFormat": text, "tagKeys": tags, "useValueForTime": False}

    def to_json(self):
        return {**super().to_json(), **self.more}


def annotation(name, expr, color, title, text, tags):
    """Marks on all panels where and as long as `expr` has a value above zero."""
    return Built(PrometheusAnnotation(title, text, tags, name=name, expr=expr, icon_color=color))
