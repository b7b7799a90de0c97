# Compiles the harness for later starts: the source comes on standard input, and what `boot.R` reads goes to the output.
input <- file("stdin", "rb")
source <- raw()
while (length(more <- readBin(input, "raw", 65536L)) > 0L) source <- c(source, more)
source <- rawToChar(source)
Encoding(source) <- "UTF-8"
code <- parse(text = source, keep.source = FALSE)
place <- new.env(parent = .BaseNamespaceEnv)
code <- lapply(code, compiler::compile, env = place, options = list(suppressAll = TRUE))
output <- file("/dev/stdout", "wb", raw = TRUE)
writeBin(serialize(list(version = R.version.string, code = code), NULL, xdr = FALSE), output)
close(output)
