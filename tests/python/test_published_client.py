"""The published Python client, unmodified, against our server: a client that nobody here wrote."""

import pathlib
import subprocess
import sys
import threading
import time
import unittest

from local_server import LocalServer

server: LocalServer


def setUpModule() -> None:
    global server
    server = LocalServer()
    server.environment()


def tearDownModule() -> None:
    server.stop()


class Quickstart(unittest.TestCase):
    def test_each_line_arrives_when_it_is_printed(self) -> None:
        program = pathlib.Path(__file__).with_name("quickstart.py")
        arrivals = []
        with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                if line.strip():
                    arrivals.append((time.monotonic(), line.strip()))
        self.assertEqual(process.returncode, 0)
        lines = [line for _, line in arrivals]
        self.assertEqual(
            [line for line in lines if line.startswith("[STDOUT]")],
            [f"[STDOUT] Progress: {i}/5" for i in range(1, 6)] + ["[STDOUT] Done!"],
        )
        self.assertRegex(lines[-1], r"^Execution completed in [56]\.\d\ds$")
        progress = [at for at, line in arrivals if "Progress" in line]
        for before, after in zip(progress, progress[1:]):
            self.assertGreater(after - before, 0.5, "lines came in one go")


class Runs(unittest.TestCase):
    """Everything else a user of the published client does with code."""

    @classmethod
    def setUpClass(cls) -> None:
        from agb import AGB
        from agb.session_params import CreateSessionParams

        cls.agb = AGB()
        created = cls.agb.create(CreateSessionParams(image_id="agb-code-space-1"))
        assert created.success, created.error_message
        cls.session = created.session

    @classmethod
    def tearDownClass(cls) -> None:
        deleted = cls.agb.delete(cls.session)
        assert deleted.success, deleted.error_message

    def stream(self, code: str, language: str, timeout_s: int = 30):
        out, err, errors = [], [], []
        result = self.session.code.run(
            code,
            language,
            timeout_s=timeout_s,
            stream_beta=True,
            on_stdout=out.append,
            on_stderr=err.append,
            on_error=errors.append,
        )
        return result, "".join(out), "".join(err), errors

    def test_python_in_one_answer(self) -> None:
        result = self.session.code.run("print('hello')", "python")
        self.assertTrue(result.success, result.error_message)
        self.assertEqual("".join(result.logs.stdout), "hello\n")

    def test_javascript_in_one_answer(self) -> None:
        result = self.session.code.run("console.log('hello'); console.error('oops')", "javascript")
        self.assertTrue(result.success, result.error_message)
        self.assertEqual("".join(result.logs.stdout), "hello\n")
        self.assertEqual("".join(result.logs.stderr), "oops\n")

    def test_r_in_one_answer(self) -> None:
        result = self.session.code.run("cat('hello\\n')\nmessage('oops')\nplot(1:3)\nhead(mtcars, 2)", "r")
        self.assertTrue(result.success, result.error_message)
        self.assertEqual("".join(result.logs.stdout), "hello\n")
        self.assertEqual("".join(result.logs.stderr), "oops\n")
        plot, table = result.results
        self.assertTrue(plot.png.startswith("iVBORw0KGgo"))
        self.assertTrue(table.is_main_result)
        self.assertIn("Mazda RX4", table.text)
        self.assertIn("<table", table.html)

    def test_java_in_one_answer(self) -> None:
        program = (
            "import java.util.stream.*;\n\npublic class Main {\n    public static void main(String[] args) {\n"
            '        System.out.println(IntStream.rangeClosed(1, 3).boxed().collect(Collectors.toList()));\n    }\n}\n'
        )
        result = self.session.code.run(program, "java")
        self.assertTrue(result.success, result.error_message)
        self.assertEqual("".join(result.logs.stdout), "[1, 2, 3]\n")
        result = self.session.code.run("int x = 20;\nx * 2 + 2;", "java")
        self.assertEqual([item.text for item in result.results if item.is_main_result], ["42"])
        result = self.session.code.run("int n = \"text\";", "java")
        self.assertFalse(result.success)
        self.assertIn("incompatible types", str(result.error_message) + str(result.error))

    def test_streams_are_told_apart(self) -> None:
        for language, code in [
            ("python", "import sys\nprint('out')\nprint('err', file=sys.stderr)"),
            ("javascript", "console.log('out'); console.error('err')"),
            ("r", "cat('out\\n')\nmessage('err')"),
            ("java", 'System.out.println("out"); System.err.println("err");'),
        ]:
            with self.subTest(language):
                result, out, err, errors = self.stream(code, language)
                self.assertTrue(result.success, result.error_message)
                self.assertEqual((out, err, errors), ("out\n", "err\n", []))
                self.assertEqual("".join(result.logs.stdout), "out\n")

    def test_state_is_kept_between_runs_streaming_or_not(self) -> None:
        self.session.code.run("kept = 41", "python")
        result, out, _, _ = self.stream("kept += 1\nprint(kept)", "python")
        self.assertTrue(result.success, result.error_message)
        self.assertEqual(out, "42\n")
        result = self.session.code.run("kept", "python")
        self.assertEqual([item.text for item in result.results if item.is_main_result], ["42"])

    def test_output_comes_while_the_program_runs(self) -> None:
        for language, code in [
            ("python", "import time\nfor i in range(4):\n    print(i, end='')\n    time.sleep(0.5)"),
            (
                "javascript",
                "for (let i = 0; i < 4; i++) { process.stdout.write(`${i}`); const t = Date.now(); while (Date.now() < t + 500); }",
            ),
            ("r", "for (i in 0:3) { cat(i); Sys.sleep(0.5) }"),
            ("java", "for (int i = 0; i < 4; i++) { System.out.print(i); Thread.sleep(500); }"),
        ]:
            with self.subTest(language):
                arrivals = []
                result = self.session.code.run(
                    code,
                    language,
                    timeout_s=60,
                    stream_beta=True,
                    on_stdout=lambda chunk: arrivals.append((time.monotonic(), chunk)),
                )
                self.assertTrue(result.success, result.error_message)
                self.assertEqual("".join(chunk for _, chunk in arrivals), "0123")
                self.assertGreater(arrivals[-1][0] - arrivals[0][0], 0.7, "it came in one go")

    def test_the_last_value_is_the_main_result(self) -> None:
        result, _, _, _ = self.stream("'Final ' + 'result'", "python")
        self.assertEqual([item.text for item in result.results if item.is_main_result], ["'Final result'"])
        result, _, _, _ = self.stream("const data = { value: 21 }; data.value * 2;", "javascript")
        self.assertEqual([item.text for item in result.results if item.is_main_result], ["42"])
        result, _, _, _ = self.stream("x <- 21\nx * 2", "r")
        self.assertEqual([item.text for item in result.results if item.is_main_result], ["[1] 42"])

    def test_rich_results_come_whole(self) -> None:
        result, _, _, _ = self.stream(
            "from IPython.display import display, Markdown, Latex, JSON, SVG, HTML\n"
            "display(Markdown('# hi'), Latex('$x$'), JSON({'a': [1]}), SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>'))\n"
            "HTML('<b>bold</b>')",
            "python",
        )
        self.assertTrue(result.success, result.error_message)
        markdown, latex, data, svg, html = result.results
        self.assertEqual((markdown.markdown, latex.latex, data.json, html.html), ("# hi", "$x$", {"a": [1]}, "<b>bold</b>"))
        self.assertIn("<svg", svg.svg)
        self.assertEqual([item.is_main_result for item in result.results], [False] * 4 + [True])

    def test_java_shows_images_and_html(self) -> None:
        code = (
            "import java.awt.image.BufferedImage;\n"
            "display(html(\"<b>bold</b>\"));\n"
            "new BufferedImage(2, 2, BufferedImage.TYPE_INT_RGB)"
        )
        for result in (self.stream(code, "java", 60)[0], self.session.code.run(code, "java", timeout_s=60)):
            self.assertTrue(result.success, result.error_message)
            html, image = result.results
            self.assertEqual(html.html, "<b>bold</b>")
            self.assertTrue(image.png.startswith("iVBORw0KGgo"), image.png[:40])
            self.assertEqual([html.is_main_result, image.is_main_result], [False, True])

    def test_input_with_nobody_to_answer_is_at_its_end(self) -> None:
        for language, code, word in [
            ("python", "try:\n    input('name? ')\nexcept EOFError:\n    print('end')", "end"),
            ("javascript", "for await (const line of process.stdin);\nconsole.log('end')", "end"),
            ("r", "lines <- readLines(stdin())\ncat(if (length(lines) == 0) 'end')", "end"),
        ]:
            with self.subTest(language):
                began = time.monotonic()
                result, out, _, _ = self.stream(code, language)
                self.assertTrue(result.success, result.error_message)
                self.assertIn(word, out)
                self.assertLess(time.monotonic() - began, 20, "it waited for input")

    def test_a_program_that_dies_is_told_at_once(self) -> None:
        for language, code, words in [
            ("python", "import os\nprint('last', flush=True)\nos._exit(7)", "code 7"),
            ("python", "import ctypes\nctypes.string_at(0)", "segmentation fault"),
            ("javascript", "console.log('last'); process.kill(process.pid, 'SIGKILL')", "SIGKILL"),
            ("r", "cat('last')\ntools::pskill(Sys.getpid(), 9)\nSys.sleep(30)", "SIGKILL"),
        ]:
            for streaming in (True, False):
                with self.subTest(language=language, words=words, streaming=streaming):
                    began = time.monotonic()
                    if streaming:
                        result = self.stream(code, language, timeout_s=60)[0]
                    else:
                        result = self.session.code.run(code, language, timeout_s=60)
                    self.assertLess(time.monotonic() - began, 30)
                    self.assertFalse(result.success)
                    self.assertIn(words, result.error_message)
                    self.assertIn("lost", result.error_message)
                    again = self.session.code.run("1", language)
                    self.assertTrue(again.success, again.error_message)

    def test_an_exception_is_told_with_its_name(self) -> None:
        result, out, _, errors = self.stream("print('so far')\n1 / 0", "python")
        self.assertFalse(result.success)
        self.assertEqual(out, "so far\n")
        self.assertIn("ZeroDivisionError", str(result.error_message) + str(result.error))
        self.assertTrue(errors, "on_error was not called")
        result = self.session.code.run("1 / 0", "python")
        self.assertFalse(result.success)
        self.assertIn("ZeroDivisionError", str(result.error_message) + str(result.error))
        for language, code, name in [
            ("javascript", "null.x", "TypeError"),
            ("r", "stop('on purpose')", "on purpose"),
            ("java", "int zero = 0;\n1 / zero", "java.lang.ArithmeticException"),
        ]:
            result, _, _, errors = self.stream(code, language)
            self.assertFalse(result.success)
            self.assertIn(name, str(result.error_message) + str(result.error))
            self.assertTrue(errors, "on_error was not called")

    def test_a_time_limit_ends_the_run_and_the_state_is_kept(self) -> None:
        self.session.code.run("before = 1", "python")
        began = time.monotonic()
        result, out, _, _ = self.stream("print('begin')\nimport time\ntime.sleep(60)", "python", timeout_s=1)
        self.assertLess(time.monotonic() - began, 20)
        self.assertFalse(result.success)
        self.assertEqual(out, "begin\n")
        result, out, _, _ = self.stream("print(before)", "python")
        self.assertEqual(out, "1\n")
        for language, code in [("javascript", "while (true) {}"), ("r", "system('sleep 100')")]:
            with self.subTest(language):
                began = time.monotonic()
                result = self.session.code.run(code, language, timeout_s=1)
                self.assertLess(time.monotonic() - began, 20)
                self.assertFalse(result.success)
                self.assertIn("timed out", result.error_message)

    def test_more_than_a_megabyte_in_one_print(self) -> None:
        result, out, _, _ = self.stream("print('é\\n' * 1_500_000, end='')", "python")
        self.assertTrue(result.success, result.error_message)
        self.assertEqual(len(out), 3_000_000)
        self.assertEqual(out.count("é"), 1_500_000)

    def test_a_result_too_large_for_the_client_is_told_and_not_fatal(self) -> None:
        result, _, _, _ = self.stream("'x' * 3_000_000", "python")
        self.assertTrue(result.success, result.error_message)
        self.assertEqual(len(result.results), 1)
        self.assertLess(len(result.results[0].text), 1_000_000)

    def test_two_languages_side_by_side(self) -> None:
        outcomes = {}

        def go(language: str, code: str) -> None:
            outcomes[language] = self.stream(code, language)

        threads = [
            threading.Thread(target=go, args=("python", "import time\nfor i in range(5): print(i); time.sleep(0.1)")),
            threading.Thread(
                target=go,
                args=("javascript", "for (let i = 0; i < 5; i++) { console.log(i); await new Promise(r => setTimeout(r, 100)); }"),
            ),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        for language in ("python", "javascript"):
            result, out, _, _ = outcomes[language]
            self.assertTrue(result.success, f"{language}: {result.error_message}")
            self.assertEqual(out, "0\n1\n2\n3\n4\n")

    def test_files_and_commands(self) -> None:
        written = self.session.file.write("note.txt", "from a file")
        self.assertTrue(written.success, written.error_message)
        result = self.session.code.run("print(open('note.txt').read())", "python")
        self.assertEqual("".join(result.logs.stdout), "from a file\n")
        read = self.session.file.read("note.txt")
        self.assertEqual(read.content, "from a file")
        ran = self.session.command.execute("cat note.txt", 5_000)
        self.assertTrue(ran.success, ran.error_message)
        self.assertIn("from a file", ran.output)


class Sessions(unittest.TestCase):
    def setUp(self) -> None:
        from agb import AGB

        self.agb = AGB()

    def create(self, **parameters):
        from agb.session_params import CreateSessionParams

        created = self.agb.create(CreateSessionParams(image_id="agb-code-space-1", **parameters))
        self.assertTrue(created.success, created.error_message)
        return created.session

    def test_a_session_is_found_listed_labelled_and_deleted(self) -> None:
        session = self.create(labels={"team": "blue"})
        found = self.agb.get(session.session_id)
        self.assertTrue(found.success, found.error_message)
        listed = self.agb.list(labels={"team": "blue"})
        self.assertIn(session.session_id, str(listed.session_ids))
        self.assertEqual(session.get_labels().data, {"team": "blue"})
        self.assertTrue(session.set_labels({"team": "red"}).success)
        self.assertEqual(session.get_labels().data, {"team": "red"})
        began = time.monotonic()
        deleted = self.agb.delete(session)
        self.assertTrue(deleted.success, deleted.error_message)
        self.assertLess(time.monotonic() - began, 20)
        self.assertFalse(self.agb.get(session.session_id).success)

    def test_an_unknown_image_and_a_wrong_key_are_told(self) -> None:
        from agb import AGB
        from agb.session_params import CreateSessionParams

        created = self.agb.create(CreateSessionParams(image_id="no-such-image"))
        self.assertFalse(created.success)
        self.assertIn("no-such-image", created.error_message)
        created = AGB(api_key="wrong").create(CreateSessionParams(image_id="agb-code-space-1"))
        self.assertFalse(created.success)
        self.assertTrue(created.error_message)


if __name__ == "__main__":
    unittest.main()
