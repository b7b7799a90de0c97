//! Python with the packages of the default image, which `cargo xtask test` prepares.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use agb_kernel::{Kernel, Language, Outcome};
use agb_sandbox::Level;

use crate::support::{Ran, Shown, Subject, Workdir, home, kernel_of, spec, zygote};

fn python() -> Subject {
    kernel_of(Language::Python, &interpreter())
}

fn interpreter() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/images");
    let python = folder.join("agb-code-space-1/current/bin/python");
    assert!(
        python.exists(),
        "these tests need an image: `cargo xtask test` prepares it, and so does `cargo run -p agb-server -- images \
         --image-dir {} prepare`",
        folder.display()
    );
    // As the server does it: the real path, so that it stays the same when the image is prepared again.
    let place = std::fs::read_link(folder.join("agb-code-space-1/current")).unwrap();
    folder.join("agb-code-space-1").join(place).join("bin/python")
}

fn pictures(ran: &Ran) -> Vec<Shown> {
    ran.results().into_iter().filter(|result| result.data.contains_key("image/png")).collect()
}

#[tokio::test]
async fn a_table_in_three_cells() {
    let python = python();
    let ran = python
        .run("import pandas as pd\ndf = pd.DataFrame({'city': ['Rome', 'Oslo', 'Rome'], 'n': [3, 4, 5]})\ndf.head(2)")
        .await;
    let [table] = ran.results().try_into().unwrap_or_else(|_| panic!("{ran:#?}"));
    let html = table.data["text/html"].as_str().unwrap();
    assert!(table.is_main && html.contains("<table") && html.contains("<td>Oslo</td>"), "{html}");
    assert_eq!(table.data["text/plain"], "   city  n\n0  Rome  3\n1  Oslo  4");
    let ran = python
        .run("by_city = df.groupby('city').sum()\nprint(by_city.loc['Rome', 'n'])\ndisplay(by_city)\nby_city;")
        .await;
    assert_eq!((ran.stdout().as_str(), ran.results().len()), ("8\n", 1));
    let ran = python.run("by_city.plot.bar()").await;
    assert_eq!((pictures(&ran).len(), ran.value().as_deref()), (1, Some("<Axes: xlabel='city'>")), "{ran:#?}");
}

/// No column and no text is left out that `python3` shows of the same program.
#[tokio::test]
async fn frames_show_what_a_script_shows() {
    const FRAMES: [(usize, &str, &str); 8] = [
        (12, "measurement_%d", "3.25"),
        (20, "column %d", "'text'"),
        (25, "%d", "1"),
        (39, "%d", "'a'"),
        (3, "long%d", "'word ' * 30"),
        (2, "name of a column that is long %d", "'x' * 49"),
        (13, "n%d", "-1234.5678"),
        (60, "c%d", "1"),
    ];
    const SHOWS: [&str; 4] = ["df", "df.describe(include='all')", "df.T", "df.head(2).to_string()"];
    let mut code = "import pandas as pd\n".to_owned();
    for (count, name, value) in FRAMES {
        code += &format!("df = pd.DataFrame({{{name:?} % i: [{value}] * 3 for i in range({count})}})\n");
        SHOWS.iter().for_each(|show| code += &format!("print({show}); print('=====')\n"));
    }
    let plain = std::process::Command::new(interpreter()).args(["-c", &code]).env_remove("COLUMNS").output().unwrap();
    let plain = String::from_utf8(plain.stdout).unwrap();
    let python = python();
    let ours = python.output(&code).await;
    assert_eq!(ours.matches("=====\n").count(), FRAMES.len() * SHOWS.len(), "{ours}");
    // pandas may break the lines, but leaves nothing out that is there.
    let words = |text: &str| -> BTreeSet<String> { text.split_whitespace().map(str::to_owned).collect() };
    for (at, (plain, ours)) in plain.split("=====\n").zip(ours.split("=====\n")).enumerate() {
        // Without the size, which it tells where it has left something out.
        let plain = plain.split("\n[").next().expect("the text before it");
        let mut missing = words(plain);
        missing.remove("...");
        missing.retain(|word| !words(ours).contains(word));
        assert_eq!(missing, BTreeSet::new(), "{plain}\n{ours}");
        let Some((count, name, _)) = FRAMES.get(at / SHOWS.len()) else { break };
        if at % SHOWS.len() == 0 && (4..=20).contains(count) {
            assert!((0..*count).all(|i| ours.contains(&name.replace("%d", &i.to_string()))), "{ours}");
        }
    }
    // What a program sets holds.
    let set = "pd.set_option('display.max_columns', 5)\nprint(df)";
    assert!(python.output(set).await.contains("..."));
}

#[tokio::test]
async fn figures_are_shown_once() {
    let python = python();
    let ran = python
        .run("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nprint('between')\nplt.plot([2, 1]);")
        .await;
    assert_eq!((&ran.end.outcome, pictures(&ran).len()), (&Outcome::Finished, 2), "{ran:#?}");
    let png = pictures(&ran)[0].data["image/png"].as_str().unwrap().to_owned();
    assert!(png.starts_with("iVBORw0KGgo") && png.len() > 1000);
    assert_eq!(ran.stderr(), "", "no word about fonts or windows");
    for (code, count) in [
        ("fig, ax = plt.subplots()\nax.plot([1, 2])\nfig", 1),
        ("fig", 1),
        ("fig, ax = plt.subplots()\ndisplay(fig)\nax.plot([1, 2]);", 2),
        ("fig, ax = plt.subplots()\nax.plot([1, 2])\nplt.close()", 0),
        ("for _ in range(3):\n    plt.figure()\n    plt.plot([1])", 3),
        ("plt.plot([1]); plt.savefig('figure.png')", 1),
        ("plt.ion()\nplt.plot([1]);", 1),
        ("1 + 1", 0),
    ] {
        let ran = python.run(code).await;
        assert_eq!((&ran.end.outcome, pictures(&ran).len()), (&Outcome::Finished, count), "{code}: {ran:#?}");
    }
    let ran = python.run("plt.plot([1])\n1 / 0").await;
    assert_eq!((ran.error().name.as_str(), pictures(&ran).len()), ("ZeroDivisionError", 1));
    let ran = python.run("%config InlineBackend.figure_format = 'svg'\n%matplotlib inline\nplt.plot([1]);").await;
    assert!(ran.results()[0].data["image/svg+xml"].as_str().unwrap().contains("<svg"), "{ran:#?}");
}

/// The backend is this process's own: programs that it starts must not look for it.
#[tokio::test]
async fn programs_that_are_started_draw_into_files() {
    let out = python()
        .output(
            "import matplotlib.pyplot as plt, subprocess, sys\n\
             program = 'import matplotlib.pyplot as plt; plt.plot([1]); plt.savefig(\"a.png\"); print(plt.get_backend())'\n\
             !python -c {chr(39) + program + chr(39)}\n\
             subprocess.run([sys.executable, '-c', program], check=True);",
        )
        .await;
    assert_eq!(out, "agg\nagg\n");
}

#[tokio::test]
async fn progress_bars_are_written_as_they_are() {
    let python = python();
    let ran = python
        .run(
            "from tqdm import tqdm\nimport numpy as np\nrng = np.random.default_rng(0)\nX = rng.normal(size=(200, 3))\n\
             y = X @ [1.0, 2.0, 3.0]\nw = np.zeros(3)\n\
             for epoch in tqdm(range(50), desc='train'):\n    w -= 0.1 * X.T @ (X @ w - y) / len(y)\nw.round(1).tolist()",
        )
        .await;
    assert_eq!(ran.end.outcome, Outcome::Finished, "{ran:#?}");
    assert!(ran.stderr().contains("\rtrain: 100%|██████████| 50/50 ["), "{:?}", ran.stderr());
    for name in ["auto", "notebook"] {
        let ran = python
            .run(&format!(
                "from tqdm.{name} import tqdm, trange\nfor _ in tqdm(range(2)): pass\nfor _ in trange(3): pass"
            ))
            .await;
        assert!(ran.stderr().contains("2/2") && ran.stderr().contains("3/3"), "{name}: {ran:#?}");
        assert!(!ran.stderr().contains("Warning") && !ran.stderr().contains("Exception"), "{name}: {ran:#?}");
    }
}

/// Where the real IPython is, it is the real one; what it shows comes here all the same.
#[tokio::test]
async fn the_real_ipython_is_used_where_it_is() {
    let python = python();
    let ran = python
        .run("from IPython.display import HTML, display, Image, clear_output\nimport IPython\ndisplay(HTML('<b>x</b>'))\nclear_output()\nHTML('y')")
        .await;
    let shown = ran.results();
    assert_eq!(
        (&shown[0].data["text/html"], &shown[1].data["text/html"]),
        (&"<b>x</b>".into(), &"y".into()),
        "{ran:#?}"
    );
    assert_eq!(ran.stdout(), "");
    assert_eq!(
        python.value("IPython.get_ipython() is get_ipython(), hasattr(IPython, 'embed')").await.as_deref(),
        Some("(True, True)")
    );
}

/// What has `to_dict` and comes from this library is a chart; the library itself is not in the image.
#[tokio::test]
async fn charts_are_their_specification() {
    let python = python();
    std::fs::create_dir(python.workdir.path().join("altair")).unwrap();
    std::fs::write(python.workdir.path().join("altair/__init__.py"), "from altair.api import Chart\n").unwrap();
    std::fs::write(
        python.workdir.path().join("altair/api.py"),
        "class Chart:\n    def to_dict(self):\n        return {'$schema': 'https://vega.github.io/schema/vega-lite/v6.1.0.json', 'mark': 'bar'}\n    \
         def _repr_mimebundle_(self, include=None, exclude=None):\n        return {'text/html': '<div></div>'}\n",
    )
    .unwrap();
    let ran = python.run("import altair as alt\nalt.Chart()").await;
    let data = &ran.results()[0].data;
    assert_eq!(data["application/vnd.vegalite.v5+json"]["mark"], "bar", "{ran:#?}");
    assert_eq!((&data["text/html"], &data["text/plain"]), (&"<div></div>".into(), &"alt.Chart(...)".into()));
}

/// A session's own packages see those of the image, and leave the image as it is.
#[tokio::test]
async fn packages_of_a_session_see_the_image() {
    let python = python();
    let out = python.output("%pip list\n!python -c 'import numpy, sys; print(sys.prefix)'").await;
    assert!(out.contains("numpy") && out.contains("pandas"), "{out}");
    let prefix = out.lines().last().unwrap();
    assert!(Path::new(prefix).starts_with(home(&python.workdir.path())), "{out}");
    let error = python.run("%pip uninstall numpy").await;
    assert!(
        error.stderr().contains("outside environment") || error.stdout().contains("outside environment"),
        "{error:#?}"
    );
    assert_eq!(python.output("!python -c 'import numpy; print(\"still\")'").await, "still\n");
}

#[tokio::test]
async fn copies_draw_other_numbers_and_pictures_as_all_do() {
    let interpreter = interpreter();
    let mut drawn = Vec::new();
    for _ in 0..3 {
        let workdir = Workdir::new();
        let mut spec = spec(Language::Python, &interpreter, workdir.root());
        if spec.policy.level != Level::Namespaces {
            return; // nothing can be copied here
        }
        spec.zygote = Some(zygote(&spec).unwrap());
        let copy = Subject { kernel: Kernel::new(spec), workdir };
        let draw = "import sys, numpy, random\nassert '_agb.zygote' in sys.modules\n\
                    print(numpy.random.random(), numpy.random.normal(), numpy.random.default_rng().random(), random.random())";
        drawn.extend(copy.output(draw).await.split_whitespace().map(str::to_owned));
        let same = "numpy.random.seed(7)\nprint(numpy.random.random(), numpy.random.normal())";
        assert_eq!(copy.output(same).await, "0.07630828937395717 -0.3206032549443759\n", "as everywhere");
        let ran = copy.run("import matplotlib.pyplot as plt\nplt.plot([1, 2]);").await;
        assert_eq!(pictures(&ran).len(), 1, "{ran:#?}");
    }
    let count = drawn.len();
    drawn.sort();
    drawn.dedup();
    assert_eq!((count, drawn.len()), (12, 12), "{drawn:?}");
}

/// Whatever an image imports by itself, before it is copied.
#[tokio::test]
async fn copies_share_no_generator_of_an_image() {
    let image = Preloaded::new(
        "import ssl, random, uuid, secrets, tempfile, multiprocessing, numpy.random; ssl.create_default_context(); \
         ssl.RAND_bytes(8); random.random(); uuid.uuid4(); secrets.token_hex(8); numpy.random.random(); \
         tempfile.mktemp(); multiprocessing.current_process().authkey",
    );
    let draw = "import sys, os, ssl, random, uuid, secrets, tempfile, multiprocessing, numpy\n\
                assert '_agb.zygote' in sys.modules\n\
                print(ssl.RAND_bytes(16).hex(), random.random(), uuid.uuid4(), uuid.uuid1(), secrets.token_hex(8),\n      \
                numpy.random.random(), numpy.random.default_rng().random(), tempfile.mktemp(),\n      \
                bytes(multiprocessing.current_process().authkey).hex(), os.urandom(8).hex())";
    let mut drawn = Vec::new();
    for _ in 0..3 {
        let workdir = Workdir::new();
        let mut spec = spec(Language::Python, image.interpreter(), workdir.root());
        if spec.policy.level != Level::Namespaces {
            return; // nothing can be copied here
        }
        spec.zygote = Some(zygote(&spec).unwrap());
        let copy = Subject { kernel: Kernel::new(spec), workdir };
        let loaded = "import sys\nprint('ssl' in sys.modules, 'multiprocessing.process' in sys.modules)";
        assert_eq!(copy.output(loaded).await, "True True\n");
        drawn.extend(copy.output(draw).await.split_whitespace().map(str::to_owned));
    }
    let count = drawn.len();
    drawn.sort();
    drawn.dedup();
    assert_eq!((count, drawn.len()), (30, 30), "{drawn:?}");
}

/// Those that are started have a seed of their own for the hashes of texts, too. (Copies share that of their zygote.)
#[tokio::test]
async fn hashes_of_texts_differ_where_interpreters_are_started() {
    let mut hashes = Vec::new();
    for _ in 0..2 {
        let workdir = Workdir::new();
        let mut spec = spec(Language::Python, interpreter(), workdir.root());
        spec.zygote = None;
        let started = Subject { kernel: Kernel::new(spec), workdir };
        hashes.push(started.output("print(hash('a text'))").await);
    }
    assert_ne!(hashes[0], hashes[1]);
}

/// Libraries pin and count processors for their threads by `sched_setaffinity` and `sched_getaffinity`.
#[tokio::test]
async fn threads_of_libraries_are_scheduled() {
    let python = python();
    let pin = "import os, threading\n\
               cpus = sorted(os.sched_getaffinity(0))\nseen = []\n\
               def pin(n):\n    os.sched_setaffinity(0, {cpus[n % len(cpus)]})\n    \
               seen.append(os.sched_getaffinity(0) == {cpus[n % len(cpus)]})\n\
               threads = [threading.Thread(target=pin, args=(n,)) for n in range(4)]\n\
               [thread.start() for thread in threads]\n[thread.join() for thread in threads]\nprint(seen)";
    assert_eq!(python.output(pin).await, "[True, True, True, True]\n");
    let multiply = "import os, subprocess, sys\n\
                    code = '''\nimport os, numpy\na = numpy.ones((700, 700))\nb = a @ a\n\
                    wanted = min(2, len(os.sched_getaffinity(0)))\n\
                    print(float(b.min()), float(b.max()), len(os.listdir('/proc/self/task')) >= wanted)'''\n\
                    env = dict(os.environ, OPENBLAS_NUM_THREADS='2', OMP_NUM_THREADS='2')\n\
                    print(subprocess.run([sys.executable, '-c', code], env=env, capture_output=True, text=True).stdout)";
    assert_eq!(python.output(multiply).await, "700.0 700.0 True\n\n");
    assert_eq!(
        python.output("import numpy\na = numpy.ones((700, 700))\nprint((a @ a).sum() / 700 ** 3)").await,
        "1.0\n"
    );
}

/// A copy of the image with a file that runs a line when Python starts.
struct Preloaded(PathBuf);

impl Preloaded {
    fn new(line: &str) -> Self {
        let image = interpreter().parent().and_then(Path::parent).unwrap().canonicalize().unwrap();
        let copy = image.parent().unwrap().join(format!("preloaded-{}", std::process::id()));
        // Links to the same files: nothing of them is changed.
        let copied = std::process::Command::new("cp").arg("-al").args([&image, &copy]).status().unwrap();
        assert!(copied.success());
        let version = std::fs::read_dir(copy.join("lib")).unwrap().next().unwrap().unwrap().path();
        std::fs::write(version.join("site-packages/preload.pth"), format!("{line}\n")).unwrap();
        Self(copy)
    }

    fn interpreter(&self) -> PathBuf {
        self.0.join("bin/python")
    }
}

impl Drop for Preloaded {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
