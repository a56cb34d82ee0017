package org.megabyte4j.cli;

import java.io.PrintWriter;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;

/** {@code megabyte4j}: what all commands have in common. */
@Command(name = "megabyte4j",
        description = "Trains, evaluates and runs MEGABYTE byte language models (arXiv 2305.07185).",
        subcommands = {TrainCommand.class, EvalCommand.class, GenerateCommand.class, VerifyCommand.class,
            BenchCommand.class, ConvertCommand.class, InfoCommand.class},
        synopsisSubcommandLabel = "COMMAND",
        mixinStandardHelpOptions = true,
        versionProvider = Version.class,
        scope = ScopeType.INHERIT)
public final class Main implements Runnable {
    private static final int HELP_WIDTH = 100;

    @Option(names = "--debug", scope = ScopeType.INHERIT, description = "Print the stack trace of a failure.")
    private boolean debug;

    @Spec
    private CommandSpec spec;

    private Main() {
    }

    public static void main(String[] args) {
        // Warnings of libraries as plain lines, unless the user has set this up.
        for (String shown : new String[] {"showThreadName", "showLogName"}) {
            String property = "org.slf4j.simpleLogger." + shown;
            System.setProperty(property, System.getProperty(property, "false"));
        }
        StandardStream out = StandardStream.output();
        PrintWriter err = StandardStream.error().writer();
        int status = run(args, out.writer(), err);
        System.exit(out.finish(status, err));
    }

    /**
     * Runs one command within this process.
     *
     * @return the exit code: 0 success, 1 failure (one sentence on {@code err} says why), 2 wrong usage
     */
    public static int run(String[] args, PrintWriter out, PrintWriter err) {
        Main main = new Main();
        CommandLine line = commandLine(main).setOut(out).setErr(err);
        Failures failures = new Failures(err, () -> main.debug);
        line.setParameterExceptionHandler(failures).setExecutionExceptionHandler(failures);
        try {
            return line.execute(args);
        } catch (Error e) {
            return failures.report(e);
        } finally {
            out.flush();
            err.flush();
        }
    }

    /** The parser with all commands. */
    static CommandLine commandLine() {
        return commandLine(new Main());
    }

    private static CommandLine commandLine(Main main) {
        CommandLine line = new CommandLine(main).setCaseInsensitiveEnumValuesAllowed(true).setUsageHelpWidth(HELP_WIDTH);
        line.getCommandSpec().usageMessage().footer("", "megabyte4j COMMAND --help explains a command.",
                "Exit codes: 0 success, 1 failure, 2 a command line that cannot be understood.");
        return line;
    }

    @Override
    public void run() {
        throw new ParameterException(spec.commandLine(), "no command is given");
    }
}
