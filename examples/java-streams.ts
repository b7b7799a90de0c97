// A Java class with generics and streams, as a file has it, and then a snippet that uses it.
import { AGB, CreateSessionParams } from "agbcloud-sdk";

const program = `
import java.util.*;
import java.util.function.*;
import java.util.stream.*;

public class Inventory<T extends Comparable<T>> {
    private final Map<String, List<T>> items = new TreeMap<>();

    public Inventory<T> add(String shelf, T item) {
        items.computeIfAbsent(shelf, name -> new ArrayList<>()).add(item);
        return this;
    }

    public <R> Map<String, R> summarize(Function<Stream<T>, R> summary) {
        return items.entrySet().stream()
            .collect(Collectors.toMap(Map.Entry::getKey, entry -> summary.apply(entry.getValue().stream()), (a, b) -> a, TreeMap::new));
    }

    public static void main(String[] args) {
        var inventory = new Inventory<Integer>().add("tools", 3).add("tools", 4).add("paint", 12);
        System.out.println(inventory.summarize(items -> items.mapToInt(Integer::intValue).sum()));
        System.out.println(inventory.summarize(items -> items.max(Comparator.naturalOrder()).orElseThrow()));
    }
}
`;

const agb = new AGB();
const createResult = await agb.create(new CreateSessionParams({ imageId: "agb-code-space-1" }));
if (!createResult.success || !createResult.session) {
  throw new Error(`Session creation failed: ${createResult.errorMessage}`);
}

const session = createResult.session;
try {
  const result = await session.code.run(program, "java", 60, true, (chunk) => process.stdout.write(chunk));
  if (!result.success) {
    throw new Error(result.errorMessage);
  }
  const value = await session.code.run('new Inventory<String>().add("a", "x").add("a", "y").summarize(Stream::count)', "java");
  if (!value.success) {
    throw new Error(value.errorMessage);
  }
  console.log(`and then: ${value.results[0]?.text}`);
} finally {
  await agb.delete(session);
}
