"""Executed notebooks as HTML pages: as nbconvert draws them, without scripts, solutions folded.

In JupyterLab a cell whose ``source_hidden`` and ``outputs_hidden`` are set is a closed bar;
nbconvert knows neither and shows everything. Here such cells (tagged ``solution``) become a closed
``<details>``, which needs no script. Nor do the chapters need those that nbconvert takes from the
web for formulas, diagrams and widgets: a page looks the same in ten years and without a network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbconvert import HTMLExporter
    from nbformat import NotebookNode

SOLUTION = "solution"
"""Tag of the cells that hold the solution of an exercise."""

WIDGET = "application/vnd.jupyter.widget-view+json"
"""Outputs of this type need a script to be seen; in executed chapters they are progress bars."""

TEMPLATE = """\
{%- extends 'lab/index.html.j2' -%}

{%- block html_head_js -%}{%- endblock html_head_js -%}
{%- block jupyter_widgets -%}{%- endblock jupyter_widgets -%}
{%- block html_head_js_mathjax -%}{%- endblock html_head_js_mathjax -%}
{%- block html_head_js_mermaidjs -%}{%- endblock html_head_js_mermaidjs -%}

{%- block extra_css -%}
{{ super() }}
<style type="text/css">
details.solution { margin: 0.4em 0; border: 1px solid #c8c8c8; border-radius: 4px; }
details.solution > summary { padding: 0.4em 0.8em; cursor: pointer; font-weight: 600;
  font-family: var(--jp-content-font-family); font-size: var(--jp-content-font-size1, 14px); }
details.solution[open] > summary { border-bottom: 1px solid #c8c8c8; }
</style>
{%- endblock extra_css -%}

{%- block any_cell scoped -%}
{%- if cell.cell_type == 'code' and 'SOLUTION' in cell.metadata.get('tags', []) -%}
<details class="solution">
<summary>{{ cell.source.split('\\n')[0].lstrip('# ') | escape_html }}</summary>
{{ super() }}
</details>
{%- else -%}
{{ super() }}
{%- endif -%}
{%- endblock any_cell -%}
""".replace("SOLUTION", SOLUTION)


def exporter(**options: Any) -> HTMLExporter:
    """Return nbconvert's exporter for pages of this package.

    Parameters
    ----------
    options : settings of `nbconvert.HTMLExporter`, such as ``embed_images``.
    """
    from nbconvert import HTMLExporter

    return HTMLExporter(raw_template=TEMPLATE, **options)


def page(notebook: NotebookNode) -> str:
    """Return an executed notebook as HTML; the same notebook gives the same page.

    Parameters
    ----------
    notebook : read by `nbformat.read`; it is not changed.
    """
    from copy import deepcopy

    shown = deepcopy(notebook)
    for cell in shown.cells:
        if cell.cell_type == "code":
            cell.outputs = [one for one in cell.outputs if WIDGET not in one.get("data", {})]
    body, _ = exporter().from_notebook_node(shown)
    return str(body)
