//! Figures of plotly, which the default image does not have: the parts of it that the harness knows, in its own layout.

use std::path::Path;

use agb_kernel::{Language, Outcome};
use serde_json::json;

use crate::support::{Subject, kernel};

/// The names, signatures and values that plotly 5 and 6 have.
const FILES: [(&str, &str); 4] = [
    ("plotly/__init__.py", ""),
    (
        "plotly/basedatatypes.py",
        "class BaseFigure:\n    def __init__(self, data=(), layout=None):\n        self.data, self.layout = list(data), layout or {}\n    \
         def show(self, *args, **kwargs):\n        import plotly.io as pio\n        return pio.show(self, *args, **kwargs)\n    \
         def _repr_html_(self): return '<div>' + 'the whole library' * 1000 + '</div>'\n    \
         def _repr_mimebundle_(self, include=None, exclude=None, validate=True, **kwargs):\n        \
         import plotly.io as pio\n        return {'text/html': self._repr_html_()}\n    \
         def to_html(self, include_plotlyjs=True): return '<div id=\"figure\"></div>'\n",
    ),
    (
        "plotly/io/__init__.py",
        "import json\nfrom ._renderers import renderers, show\ndef to_json(fig, validate=True, pretty=False):\n    \
         return json.dumps({'data': fig.data, 'layout': fig.layout}, default=float)\n",
    ),
    (
        "plotly/io/_renderers.py",
        "import os\nclass BaseRenderer: pass\nclass ExternalRenderer(BaseRenderer):\n    def render(self, fig): raise NotImplementedError\n\
         class Html(BaseRenderer):\n    def to_mimebundle(self, fig): return {'text/html': fig.to_html()}\n\
         class RenderersConfig:\n    def __init__(self): self.known, self.default = {'html': Html()}, None\n    \
         def __setitem__(self, name, value): self.known[name] = value\n    def __getitem__(self, name): return self.known[name]\n\
         renderers = RenderersConfig()\nrenderers.default = os.environ.get('PLOTLY_RENDERER') or 'html'\n\
         def show(fig, renderer=None, **kwargs):\n    one = renderers[renderer or renderers.default]\n    \
         if isinstance(one, ExternalRenderer): return one.render(fig)\n    \
         from IPython.display import display\n    display(one.to_mimebundle(fig), raw=True)\n",
    ),
];

fn write(folder: &Path) {
    for (name, text) in FILES {
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
}

fn python() -> Subject {
    let python = kernel(Language::Python);
    write(&python.workdir.path());
    python
}

const FIGURE: &str = "from plotly.basedatatypes import BaseFigure\nimport plotly.io\n\
                      fig = BaseFigure([{'type': 'bar', 'y': [1, 2]}], {'title': 'T'})\n";

#[tokio::test]
async fn a_figure_is_shown_once_by_its_description() {
    let python = python();
    let document = json!({ "data": [{ "type": "bar", "y": [1, 2] }], "layout": { "title": "T" } });
    for (code, is_main) in [("fig.show()", false), ("fig", true), ("display(fig)", false)] {
        let ran = python.run(&format!("{FIGURE}{code}")).await;
        assert_eq!((&ran.end.outcome, ran.stderr().as_str()), (&Outcome::Finished, ""), "{code}: {ran:#?}");
        let [figure] = ran.results().try_into().unwrap_or_else(|_| panic!("{code}: {ran:#?}"));
        assert_eq!(figure.is_main, is_main, "{code}");
        assert_eq!(figure.data["application/vnd.plotly.v1+json"], document, "{code}");
        assert_eq!(figure.data["text/plain"], "<plotly figure with 1 trace>", "{code}");
        assert!(!figure.data.contains_key("text/html"), "{code}: without the library");
    }
}

/// A page is what the program asks for in so many words: its renderer, or the figure's own text.
#[tokio::test]
async fn a_figures_page_is_shown_where_the_program_asks_for_it() {
    let python = python();
    for (code, is_main) in [
        ("fig.show(renderer='html')", false),
        ("plotly.io.renderers.default = 'html'\nfig.show()", false),
        ("from IPython.display import HTML\nHTML(fig.to_html(include_plotlyjs=False))", true),
        ("from IPython.display import HTML\ndisplay(HTML(fig.to_html()))", false),
    ] {
        let ran = python.run(&format!("{FIGURE}{code}")).await;
        let [page] = ran.results().try_into().unwrap_or_else(|_| panic!("{code}: {ran:#?}"));
        assert_eq!((page.is_main, &page.data["text/html"]), (is_main, &json!("<div id=\"figure\"></div>")), "{code}");
        assert!(!page.data.contains_key("application/vnd.plotly.v1+json"), "{code}");
    }
    let chosen = self::python();
    let code = format!("import os\nos.environ['PLOTLY_RENDERER'] = 'html'\n{FIGURE}fig.show()");
    let ran = chosen.run(&code).await;
    assert_eq!(ran.results()[0].data["text/html"], "<div id=\"figure\"></div>", "{ran:#?}");
}
