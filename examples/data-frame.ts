// A data frame in three cells that share their state: made, grouped, drawn. Needs pandas and matplotlib, which
// `agb-server images prepare` installs.
import { AGB, CreateSessionParams } from "agbcloud-sdk";

const cells = [
  `
import pandas as pd

df = pd.DataFrame({
    "month": ["Jan", "Jan", "Feb", "Feb", "Mar", "Mar"],
    "city": ["Oslo", "Rome", "Oslo", "Rome", "Oslo", "Rome"],
    "sales": [120, 95, 130, None, 150, 110],
})
df.head()
`,
  `
df["sales"] = df["sales"].fillna(df["sales"].mean())
monthly = df.groupby(["month", "city"], sort=False)["sales"].sum().unstack()
print(monthly)
monthly.sum(axis=1).idxmax()
`,
  `
import matplotlib.pyplot as plt

monthly.plot(kind="bar", figsize=(8, 4), title="Sales")
plt.tight_layout()
plt.show()
`,
];

const agb = new AGB();
const createResult = await agb.create(new CreateSessionParams({ imageId: "agb-code-space-1" }));
if (!createResult.success || !createResult.session) {
  throw new Error(`Session creation failed: ${createResult.errorMessage}`);
}

const session = createResult.session;
try {
  for (const code of cells) {
    const result = await session.code.run(code, "python", 120);
    if (!result.success) {
      throw new Error(result.errorMessage);
    }
    console.log(`In [${result.executionCount}]`);
    process.stdout.write(result.logs.stdout.join(""));
    for (const { text, html, png } of result.results) {
      if (html) console.log(`a table, ${html.split("<tr").length - 1} rows of HTML`);
      else if (png) console.log(`a picture, ${Buffer.from(png, "base64").length} bytes of PNG`);
      else console.log(text);
    }
  }
} finally {
  await agb.delete(session);
}
