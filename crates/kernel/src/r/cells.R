# ----------------------------------------------------------------------------------------------------------- cells

frame_limit <- 0L
expression_now <- NULL # the one of the cell that is evaluated,
place_now <- "" # and where it stands
warnings_now <- list()
warnings_shown <- 50L # of one expression, as R does
packages <- c("methods", "datasets", "utils", "grDevices", "graphics", "stats")

attach_packages <- function() {
  options(defaultPackages = packages)
  .OptRequireMethods()
  for (package in packages[-1L]) library(package, character.only = TRUE, warn.conflicts = FALSE)
  options(device = open_plot_device, editor = no_editor, pager = "/bin/cat", menu.graphics = FALSE, help_type = "text", browser = "echo")
  setHook("plot.new", send_plots)
  setHook("grid.newpage", send_plots)
  utils <- asNamespace("utils")
  wrap_read_table(utils)
  replace_editors(utils)
  replace_questions(utils)
}

wrap_read_table <- function(utils) {
  original <- utils$read.table
  wrapped <- function() NULL
  body(wrapped) <- substitute({
    call <- match.call()
    if (!missing(file) && is_input(file)) {
      call$file <- NULL
      call$text <- ask_all()
    } else if (!missing(file)) {
      call$file <- file
    }
    call[[1L]] <- original
    eval(call, parent.frame())
  }, list(original = original, is_input = is_input, ask_all = ask_all))
  formals(wrapped) <- formals(original)
  environment(wrapped) <- utils
  replace_function(utils, "read.table", wrapped)
}

# What `eval` is called with in `evaluate`: it marks where the program's own calls begin, and stands in the place of
# a call in conditions that were made outside of any function.
marker <- quote(eval(expression_now, globalenv()))

evaluate <- function() {
  own_frames <<- top_frames
  on.exit(own_frames <<- 0L)
  withVisible(eval(expression_now, globalenv()))
}

# How many frames are below the program's top level: always, and while the program runs. It finds none of them, as in a script:
# `if (sys.nframe() == 0L) main()`, and its own are counted from 1.
top_frames <- own_frames <- 0L
count_frames <- as.call(list(sys.nframe))

# Called by what calls `evaluate` after it, in the same way.
find_top <- function() {
  expression_now <<- count_frames
  top_frames <<- allowInterrupts(evaluate())$value - 1L # without this function
}

# The calls that led to an error, while the program is told of it (`options(error =)`): for R they have not ended yet.
ended_calls <- NULL

above_own <- function(frames) if (length(frames) > own_frames) frames[seq.int(own_frames + 1L, length(frames))]
# A frame's number, as R counts: positive ones from the bottom, others back from the one that asks at `depth`. Behind the
# program's first frame is none.
frame_number <- function(which, depth, last) {
  if (which > 0) which + own_frames
  else if (which < 0 && -which > depth - own_frames - last) -depth - 1L
  else which
}

wrap_base("sys.nframe", function(original) function() max(0L, .Internal(sys.nframe()) - own_frames))
wrap_base("sys.parent", function(original) function() max(0L, .Internal(sys.parent(n)) - own_frames))
wrap_base("parent.frame", function(original) function() {
  is_top <- .Internal(sys.nframe()) == own_frames || n > 1 && .Internal(sys.parent(n)) <= own_frames
  if (is_top) globalenv() else .Internal(parent.frame(n))
})
wrap_base("sys.call", function(original) function() {
  depth <- .Internal(sys.nframe())
  if (which <= 0 && -which == depth - own_frames) NULL
  else .Internal(sys.call(frame_number(which, depth, 0L)))
})
wrap_base("sys.function", function(original) function() {
  depth <- .Internal(sys.nframe())
  .Internal(sys.function(frame_number(which, depth, 1L)))
})
wrap_base("sys.frame", function(original) function() {
  depth <- .Internal(sys.nframe())
  if (which < 0 && -which == depth - own_frames) globalenv()
  else .Internal(sys.frame(frame_number(which, depth, 0L)))
})
# R takes the function that runs for the one that asks: so these are asked before anything else is called.
wrap_base("sys.calls", function(original) function() {
  calls <- .Internal(sys.calls())
  calls <- above_own(calls)
  as.pairlist(if (length(calls)) c(ended_calls, calls))
})
wrap_base("sys.frames", function(original) function() {
  frames <- .Internal(sys.frames())
  as.pairlist(above_own(frames))
})
wrap_base("sys.parents", function(original) function() {
  parents <- .Internal(sys.parents())
  parents <- above_own(parents)
  if (is.null(parents)) integer() else pmax(parents - own_frames, 0L)
})
traced_calls <- function(calls) lapply(rev(calls), function(call) deparse(without_source(call)))
last_traceback <- NULL # of an error that has ended a run: R itself keeps those of its prompt
wrap_base(".traceback", function(original) function() {
  if (!is.numeric(x)) return(original(if (is.null(x)) last_traceback else x, max.lines))
  if (length(ended_calls)) return(traced_calls(ended_calls))
  calls <- original(x + 1L, max.lines) # without this one
  calls[seq_len(max(0L, length(calls) - own_frames))]
})

execute <- function(code, name) {
  # A source file may begin with a mark and have any line ends.
  lines <- strsplit(sub("\r\\z", "", sub("\\A\ufeff", "", code, perl = TRUE), perl = TRUE), "\r?\n")[[1L]]
  source <- srcfilecopy(name, lines, timestamp = 0)
  expressions <- tryCatch(
    parse(text = lines, srcfile = source, keep.source = TRUE, encoding = "UTF-8"),
    error = function(e) stop(parse_error(e, name))
  )
  places <- attr(expressions, "srcref")
  count <- length(expressions)
  find_top()
  for (i in seq_len(count)) {
    heed()
    expression_now <<- expressions[[i]]
    place_now <<- sprintf("%s, line %d", name, places[[i]][[1L]])
    warnings_now <<- list()
    result <- allowInterrupts(evaluate())
    if (result$visible) {
      if (i == count) {
        finish_plots() # they were drawn before
        value <- result$value
        replace_in(baseenv(), ".Last.value", value)
        show_main(value)
      } else {
        allowInterrupts(print_value(result$value))
      }
    }
    finish_warnings()
  }
}

parse_error <- function(error, name) {
  message <- gsub("(^|\n)<text>:", paste0("\\1", name, ":"), conditionMessage(error))
  place <- regmatches(message, regexec("^<[^>]*>:([0-9]+):([0-9]+): (.*)", message))[[1L]]
  first <- strsplit(message, "\n", fixed = TRUE)[[1L]][[1L]]
  value <- if (length(place) == 4L) {
    sprintf("%s (line %s, column %s)", strsplit(place[[4L]], "\n", fixed = TRUE)[[1L]][[1L]], place[[2L]], place[[3L]])
  } else {
    first
  }
  structure(
    class = c("harness_parse_error", "error", "condition"),
    list(message = value, call = NULL, report = paste0("Error: ", message))
  )
}

# -------------------------------------------------------------------------------------------------------- conditions

own_call <- function(call) if (is.null(call) || identical(call, marker)) NULL else call

headline <- function(kind, call, message) {
  if (is.null(call)) return(paste0(kind, ": ", message))
  call <- whole(deparse(call, nlines = 1L)[[1L]])
  first <- strsplit(message, "\n", fixed = TRUE)[[1L]]
  width <- nchar(call, "width") + if (length(first)) nchar(first[[1L]], "width") else 0L
  # R's own rule for when the message gets a line of its own.
  paste0(kind, " in ", call, " : ", if (width + 6L + nchar(kind) > 77L) "\n  ", message)
}

# A program's own methods for these may fail, end the program, or answer something else than a text or a call.
safely <- function(look, otherwise) {
  withRestarts(
    tryCatch(look(), error = function(e) otherwise),
    abort = function(...) otherwise,
    end_cell = function(status) otherwise
  )
}
message_of <- function(condition) safely(function() whole(paste(conditionMessage(condition), collapse = "\n")), "")
call_of <- function(condition) {
  call <- safely(function() conditionCall(condition), NULL)
  if (is.call(call)) own_call(call)
}

# Warnings are told at once, so that they stand beside the output they belong to.
on_warning <- function(condition) {
  level <- getOption("warn")
  if (!is.numeric(level) || length(level) != 1L || level < 0 || level >= 2 || !is_ours()) return()
  call <- call_of(condition)
  message <- message_of(condition)
  count <- length(warnings_now) + 1L
  if (count <= warnings_shown) {
    cat(headline("Warning", call, message), "\n", sep = "", file = stderr())
    warnings_now[[count]] <<- call
    if (is.null(call)) warnings_now <<- c(warnings_now[seq_len(count - 1L)], list(NULL))
    names(warnings_now)[[count]] <<- message
    last_warnings <<- warnings_now
  } else {
    warnings_more <<- warnings_more + 1L
  }
  tryInvokeRestart("muffleWarning")
}

warnings_more <- 0L
last_warnings <- list()

# R itself keeps what it has shown at the prompt, which is never here.
wrap_base("warnings", function(original) function() {
  if (length(last_warnings)) structure(last_warnings, dots = list(...), class = "warnings")
})

finish_warnings <- function() {
  if (warnings_more > 0L) cat("There were", warnings_more, "more warnings\n", file = stderr())
  warnings_more <<- 0L
}

error_now <- NULL

# The last condition that was signalled and is not an error. `stop()` takes one as well: it tells nobody else of it, prints it
# and aborts, as `invokeRestart("abort")` does without an error.
signalled_now <- NULL
on_condition <- function(condition) if (!inherits(condition, c("error", "warning", "message"))) signalled_now <<- condition
aborted <- function() {
  message <- paste0(message_of(signalled_now), "\n")
  if (!is.null(signalled_now) && endsWith(geterrmessage(), message)) signalled_now
}

# Called where the error happened: the calls are still there.
on_error <- function(condition) {
  if (inherits(condition, "harness_parse_error")) return()
  calls <- sys.calls()
  calls <- tryCatch(program_calls(calls), error = function(e) list())
  traced <- tryCatch(trace_lines(calls), error = function(e) character())
  error_now <<- list(condition = condition, lines = traced, calls = calls)
}

program_calls <- function(calls) {
  begin <- 0L
  end <- length(calls) - 1L # without the handler itself
  for (i in seq_along(calls)) {
    if (identical(without_source(calls[[i]]), marker)) begin <- i
    if (begin > 0L && i > begin && is_signalling(calls[[i]])) {
      end <- i - 1L
      break
    }
  }
  if (begin == 0L) return(list())
  calls <- as.list(calls[seq_len(length(calls)) > begin & seq_along(calls) <= end])
  if (length(calls) > 100L) calls <- c(calls[1:50], list(quote(...)), calls[seq.int(length(calls) - 48L, length(calls))])
  calls
}

# The innermost first, as `traceback()` numbers them.
trace_lines <- function(calls) {
  lines <- vapply(seq_along(calls), function(i) {
    source <- attr(calls[[i]], "srcref")
    place <- if (is.null(source)) {
      if (i == 1L) place_now else ""
    } else {
      sprintf("%s, line %d", attr(source, "srcfile")$filename, source[[1L]])
    }
    call <- whole(deparse(without_source(calls[[i]]), nlines = 1L)[[1L]])
    if (nchar(call) > 200L) call <- paste0(substr(call, 1L, 200L), "\u2026")
    paste0(i, ": ", call, if (nzchar(place)) paste0("  at ", place))
  }, "")
  rev(lines)
}

without_source <- function(call) {
  attributes(call) <- NULL
  call
}

is_signalling <- function(call) {
  head <- call[[1L]]
  identical(head, quote(.handleSimpleError)) || is.function(head) && identical(head, on_error)
}

error_trace <- function(condition) {
  if (inherits(condition, c("harness_parse_error", "harness_exit"))) return(condition$report)
  trace <- headline("Error", call_of(condition), message_of(condition))
  lines <- if (identical(error_now$condition, condition)) error_now$lines
  paste(c(trace, if (length(lines)) c("Traceback:", lines) else paste0("  at ", place_now)), collapse = "\n")
}

report <- function(condition) {
  cut <- function(text) {
    text <- whole(text)
    if (nchar(text) > text_limit) paste0(substr(text, 1L, text_limit), "\u2026") else text
  }
  message <- message_of(condition)
  name <- class(condition)[[1L]]
  if (name %in% c("simpleError", "error", "harness_parse_error")) {
    name <- if (name == "harness_parse_error") "ParseError" else "Error"
  }
  trace <- error_trace(condition)
  if (identical(error_now$condition, condition)) last_traceback <<- traced_calls(error_now$calls)
  send(object_json(c(
    type = "\"error\"", nonce = quote_json(nonce), name = quote_json(name), value = quote_json(cut(message)),
    traceback = quote_json(paste0(cut(trace), "\n"))
  )))
}

# What R calls last, unless the program failed.
is_last_called <- FALSE
call_last <- function() {
  is_last_called <<- TRUE
  if (is.function(get0(".Last", globalenv(), mode = "function"))) eval(quote(.Last()), globalenv())
}

# The end of a program by `quit`: its status is the cell's, and the interpreter lives on.
exit_condition <- function(status) {
  if (status == 0L) return(NULL)
  message <- sprintf("quit(status = %d)", status)
  structure(
    class = c("ProcessExit", "harness_exit", "error", "condition"),
    list(message = message, call = NULL, report = paste0("ProcessExit: ", message))
  )
}

for (name in c("q", "quit")) wrap_base(name, function(original) function() {
  if (!is_ours() || !nzchar(nonce)) return(original(save, status, runLast))
  status <- as.integer(status)
  if (length(status) != 1L || is.na(status)) status <- 0L
  if (identical(save, "yes")) save.image()
  if (runLast) call_last() else is_last_called <<- TRUE
  invokeRestart("end_cell", status)
})

# The harness's own calls count for `options(expressions =)` as well: a program that asks for fewer than these leaves them
# so many above its own.
own_expressions <- 500L
wrap_base("options", function(original) function() {
  given <- list(...)
  if (length(given) == 1L && is.null(names(given)) && is.list(given[[1L]])) given <- given[[1L]]
  limit <- given[["expressions"]]
  if (!is.numeric(limit) || length(limit) != 1L || is.na(limit) || limit >= own_expressions) return(original(...))
  given[["expressions"]] <- limit + own_expressions
  original(given)
})

# R knows the clock that people set. The machine's other clock goes in steps of 10 ms, and is NA where it cannot be had.
clocks <- function() {
  read <- if (!is.null(uptime)) {
    .Internal(seek(uptime, 0, 1L, 1L)) # to its begin
    readBin(uptime, "raw", 64L)
  }
  # A forked copy may have read what was to come.
  steady <- if (length(read)) as.numeric(sub(" .*", "", rawToChar(read))) else NA_real_
  c(set = .Internal(Sys.time()), steady = steady)
}

# Where the two differ by more than the steps, the first was set meanwhile.
seconds_since <- function(begin) {
  passed <- clocks() - begin
  if (is.na(passed[["steady"]])) passed[["steady"]] <- passed[["set"]]
  was_set <- abs(passed[["set"]] - passed[["steady"]]) > 0.05
  max(0, passed[[if (was_set) "steady" else "set"]])
}

# What a program has written to connections that it keeps open, as to `file("/dev/stdout", "w")`, belongs to its run. R
# crashes at the flush of one that was made and never opened.
flush_connections <- function(numbers) {
  for (number in numbers) tryCatch({
    connection <- getConnection(number)
    if (isOpen(connection, "write")) flush(connection)
  }, error = function(e) NULL)
}

# The numbers of the program's connections.
program_connections <- function() {
  numbers <- getAllConnections()
  numbers[is.na(match(numbers, c(0:2, own_connections)))]
}

# Does what is the program's, or calls its code; gives why it ended early.
guarded <- function(work) {
  failure <- NULL
  tryCatch(
    withRestarts(
      withCallingHandlers(work(), warning = on_warning, error = on_error, condition = on_condition),
      abort = function(...) failure <<- aborted(),
      end_cell = function(status) failure <<- exit_condition(status)
    ),
    interrupt = function(e) failure <<- "interrupt",
    error = function(e) failure <<- e
  )
  failure
}

# Evaluates what a program wants to be done at an error: `options(error =)`. If that ends the program, it is how it ended.
ask_error_option <- function(failure) {
  wanted <- getOption("error")
  if (!inherits(failure, "error") || inherits(failure, "harness_exit") || !is.language(wanted)) return(failure)
  is_last_called <<- FALSE
  told <- error_now
  ended_calls <<- if (identical(told$condition, failure)) told$calls
  wanted <- as.expression(wanted)
  problem <- guarded(function() {
    find_top()
    for (part in wanted) {
      expression_now <<- part
      allowInterrupts(evaluate())
    }
  })
  ended_calls <<- NULL
  error_now <<- told
  if (!is_last_called) return(failure)
  cat(error_trace(failure), "\n", sep = "", file = stderr())
  problem
}

run <- function(message) {
  nonce <<- message$nonce
  frame_limit <<- message$maxFrame
  input_open <<- message$stdin
  input_lines <<- character()
  input_bytes <<- raw()
  interrupted <<- FALSE
  error_now <<- signalled_now <<- NULL
  warnings_more <<- 0L
  is_last_called <<- FALSE
  # A signal that came after the end of the last cell was meant for that one.
  tryCatch(allowInterrupts(Sys.sleep(0)), interrupt = function(e) NULL, error = function(e) NULL)
  if (!is.null(message$program)) {
    given <- vapply(seq_len(message$arguments) - 1L, function(at) message[[paste0("argument", at)]], "")
    name_program(message$program, given)
  }
  begin <- clocks()
  failure <- guarded(function() execute(message$code, sprintf("<cell %d>", as.integer(message$count))))
  own_frames <<- 0L # a time limit of the program's may have come between
  failure <- ask_error_option(failure)
  if (message$ends && is.null(failure) && !is_last_called) failure <- guarded(function() allowInterrupts(call_last()))
  seconds <- seconds_since(begin)
  if (!is_ours()) quit_process("no", as.integer(!is.null(failure)), FALSE) # a forked copy came out of the cell
  plotting <- if (length(plot_devices)) guarded(finish_plots)
  if (is.null(failure)) failure <- plotting
  connections <- program_connections()
  if (length(connections)) guarded(function() allowInterrupts(flush_connections(connections)))
  finish_warnings()
  expression_now <<- NULL
  # Those of the program would end the interpreter between two cells. The second takes over the session's, if it still has one.
  setSessionTimeLimit()
  setTimeLimit()
  failed <- inherits(failure, "condition")
  if (failed) report(failure)
  send_done(failed, seconds, message$ends)
  if (message$ends) quit_process("no", 0L, FALSE) # finalizers that wait for the end of R are called by this
}

is_done <- FALSE # whether the end of the run was told

send_done <- function(failed, seconds, ends) {
  flush(stdout())
  is_done <<- TRUE
  send(sprintf(
    "{\"type\":\"done\",\"nonce\":%s,\"failed\":%s,\"seconds\":%.9f,\"exits\":%s}",
    quote_json(nonce), if (failed) "true" else "false", seconds, if (ends) "true" else "false"
  ))
}

# Functions and loops of programs are compiled, as R does it by itself. Before the first one: it takes longer than the
# first byte of most.
compile_programs <- function() {
  if (Sys.getenv("R_ENABLE_JIT") != "0 until ready") return()
  Sys.unsetenv("R_ENABLE_JIT")
  .Internal(enableJIT(3L))
}

# Whatever fails in the harness itself is an error of the run.
serve <- function(message) {
  is_done <<- FALSE
  tryCatch(run(message), error = function(e) {
    if (is_done) return()
    report(simpleError(paste("the run could not be ended:", message_of(e))))
    send_done(TRUE, 0, FALSE)
  })
}

Sys.unsetenv("R_DEFAULT_PACKAGES")
send("{\"type\":\"ready\"}")
attach_packages()
compile_programs()
call_copies()
repeat {
  message <- receive()
  if (identical(message$type, "run")) serve(message)
  else if (identical(message$type, "warm")) send("{\"type\":\"ready\"}") # with the packages attached
}

}) # suspendInterrupts
