package org.megabyte4j.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.NoSuchFileException;
import java.util.Collection;
import java.util.List;
import java.util.function.BooleanSupplier;
import org.megabyte4j.MegabyteException;
import picocli.CommandLine;
import picocli.CommandLine.IExecutionExceptionHandler;
import picocli.CommandLine.IParameterExceptionHandler;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.UnmatchedArgumentException;

/** Makes one sentence of whatever went wrong, and a stack trace only where {@code --debug} asks for it. */
final class Failures implements IParameterExceptionHandler, IExecutionExceptionHandler {
    static final int FAILURE = 1;
    static final int USAGE = 2;

    private final PrintWriter err;
    private final BooleanSupplier debug;

    Failures(PrintWriter err, BooleanSupplier debug) {
        this.err = err;
        this.debug = debug;
    }

    @Override
    public int handleParseException(ParameterException e, String[] args) {
        CommandSpec command = e.getCommandLine().getCommandSpec();
        err.println(command.qualifiedName() + ": " + printable(sentence(e)));
        err.println("Try " + command.qualifiedName() + " --help.");
        trace(e);
        return USAGE;
    }

    @Override
    public int handleExecutionException(Exception e, CommandLine line, ParseResult parsed) {
        return report(e);
    }

    int report(Throwable e) {
        err.println("megabyte4j: " + printable(sentence(e)));
        trace(e);
        return FAILURE;
    }

    /** Names of files may hold what controls a terminal. */
    private static String printable(String sentence) {
        return sentence.replaceAll("[\\p{Cc}&&[^\n\t]]", "?");
    }

    private void trace(Throwable e) {
        if (debug.getAsBoolean()) {
            e.printStackTrace(err);
        }
    }

    private static String sentence(ParameterException e) {
        CommandSpec command = e.getCommandLine().getCommandSpec();
        List<String> unmatched = e.getCommandLine().getUnmatchedArguments();
        // What is misspelt matters more than what is therefore missing.
        for (String argument : unmatched) {
            if (argument.startsWith("-")) {
                String option = argument.replaceFirst("=.*", "");
                return "unknown option " + option + didYouMean(option, command.optionsMap().keySet());
            }
        }
        if (e instanceof UnmatchedArgumentException) {
            String argument = unmatched.getFirst();
            return command.subcommands().isEmpty() ? "one argument too many, " + argument
                    : "unknown command " + argument + didYouMean(argument, command.subcommands().keySet());
        }
        String message = e.getMessage().replaceFirst("^Error: ", "");
        return Character.toLowerCase(message.charAt(0)) + message.substring(1);
    }

    private static String didYouMean(String typed, Collection<String> valid) {
        return Nearest.to(typed, valid).map(word -> "; did you mean " + word + "?").orElse("");
    }

    /** What to tell a user about it. */
    static String sentence(Throwable e) {
        return switch (e) {
            case MegabyteException known -> known.getMessage();
            case UncheckedIOException io -> sentence(io.getCause());
            case NoSuchFileException io -> "there is no file " + io.getFile();
            case AccessDeniedException io -> "no permission to use " + io.getFile();
            case IOException io -> "reading or writing failed: " + io.getMessage();
            case OutOfMemoryError memory -> "Java's memory is full (" + memory.getMessage() + "); give it more, such as"
                    + " MEGABYTE4J_OPTS=-Xmx8g, or use a smaller --batch or --seq-len, or a smaller model";
            default -> "this should not have happened: " + e + "; please report it with what the same command prints"
                    + " with --debug";
        };
    }
}
