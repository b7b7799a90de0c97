/** What the editor shows first, by language: each shows something that only live output can. */
export interface Language {
  readonly label: string;
  readonly program: string;
}

export const languages: Readonly<Record<string, Language>> = {
  python: {
    label: "Python",
    program: `import math, sys, time

# A progress bar redraws its line; what goes to stderr has a colour of its own.
for done in range(41):
    bar = "█" * done + "·" * (40 - done)
    print(f"\\r{bar} {done / 40:4.0%}", end="" if done < 40 else "\\n", file=sys.stderr, flush=True)
    time.sleep(0.05)

for name, colour in [("red", 31), ("green", 32), ("blue", 34)]:
    print(f"\\x1b[{colour}m{name}\\x1b[0m is a colour")
    time.sleep(0.4)

class Wave:
    """Shown below the output, as a picture."""
    def _repr_svg_(self):
        points = " ".join(f"{x},{60 - 45 * math.sin(x / 40):.1f}" for x in range(0, 481, 4))
        return ('<svg xmlns="http://www.w3.org/2000/svg" width="480" height="120">'
                f'<polyline points="{points}" fill="none" stroke="#18794e" stroke-width="3"/></svg>')

class Table:
    """Shown as HTML, in a frame that can run nothing."""
    def _repr_html_(self):
        rows = "".join(f"<tr><td>{n}<td>{n * n}<td>{n ** 3}" for n in range(1, 6))
        return f"<table><tr><th>n<th>n²<th>n³{rows}</table>"

display(Wave())
Table()
`,
  },
  javascript: {
    label: "JavaScript",
    program: `const pause = (ms) => new Promise((done) => setTimeout(done, ms));

for (let step = 1; step <= 5; step += 1) {
  console.log(\`step \${step} of 5\`);
  if (step === 3) console.error("this line went to stderr");
  await pause(500);
}
[1, 2, 3].map((n) => n ** 2);
`,
  },
  r: {
    label: "R",
    program: `for (step in 1:5) {
  cat("step", step, "of 5\\n")
  Sys.sleep(0.4)
}
message("this line went to stderr")
plot(mtcars$wt, mtcars$mpg, xlab = "Weight (1000 lbs)", ylab = "Miles per gallon", pch = 19)
aggregate(mpg ~ cyl, data = mtcars, FUN = mean)
`,
  },
  java: {
    label: "Java",
    program: `import java.util.stream.*;

for (int step = 1; step <= 5; step++) {
    System.out.println("step " + step + " of 5");
    Thread.sleep(400);
}
System.err.println("this line went to stderr");
IntStream.rangeClosed(1, 5).mapToObj(n -> n + "² = " + n * n).collect(Collectors.joining("\\n"))
`,
  },
};
