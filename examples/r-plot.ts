// A regression and a plot in R, with what its base brings.
import { AGB, CreateSessionParams } from "agbcloud-sdk";

const program = `
fit <- lm(mpg ~ wt, data = mtcars)
plot(mtcars$wt, mtcars$mpg, main = "Fuel and weight", xlab = "Weight (1000 lbs)", ylab = "Miles per gallon", pch = 19)
abline(fit, col = "red", lwd = 2)
cat(sprintf("%.2f miles per gallon less for each 1000 lbs\\n", -coef(fit)[["wt"]]))
aggregate(mpg ~ cyl, data = mtcars, FUN = mean)
`;

const agb = new AGB();
const createResult = await agb.create(new CreateSessionParams({ imageId: "agb-code-space-1" }));
if (!createResult.success || !createResult.session) {
  throw new Error(`Session creation failed: ${createResult.errorMessage}`);
}

const session = createResult.session;
try {
  const result = await session.code.run(program, "r", 60, true, (chunk) => process.stdout.write(chunk));
  if (!result.success) {
    throw new Error(result.errorMessage);
  }
  for (const { text, png } of result.results) {
    console.log(png ? `a plot, ${Buffer.from(png, "base64").length} bytes of PNG` : text);
  }
} finally {
  await agb.delete(session);
}
