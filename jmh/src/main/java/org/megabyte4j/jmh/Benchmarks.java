package org.megabyte4j.jmh;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.cuda.CudaPresence;
import org.openjdk.jmh.results.format.ResultFormatType;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.CommandLineOptionException;
import org.openjdk.jmh.runner.options.CommandLineOptions;
import org.openjdk.jmh.runner.options.OptionsBuilder;

/** Runs benchmarks and writes their results as JSON and as a Markdown table. */
public final class Benchmarks {
    private Benchmarks() {
    }

    /**
     * @param args the folder for the results, then JMH's own arguments: a pattern of names, {@code -p} for parameters,
     *             {@code -f}, {@code -wi}, {@code -i} for fewer or more repetitions, {@code -h} for the others
     */
    public static void main(String[] args) throws CommandLineOptionException, RunnerException, IOException {
        Path folder = Files.createDirectories(Path.of(args[0]));
        String[] own = new String[args.length - 1];
        System.arraycopy(args, 1, own, 0, own.length);
        CommandLineOptions options = new CommandLineOptions(own);
        if (options.shouldHelp()) {
            options.showHelp();
            return;
        }
        if (options.shouldList()) {
            new Runner(options).list();
            return;
        }
        Path json = folder.resolve("jmh.json");
        Path markdown = folder.resolve("jmh.md");
        var chosen = new OptionsBuilder().parent(options);
        if (System.getProperty("megabyte4j.device") == null && !CudaPresence.isLikely()) {
            System.out.println("Benchmarks of launches are left out: this machine shows no GPU of NVIDIA.");
            chosen.exclude(LaunchBenchmark.class.getName()).exclude(StepLaunchBenchmark.class.getName());
        }
        new Runner(chosen.resultFormat(ResultFormatType.JSON).result(json.toString())
                .shouldFailOnError(true).build()).run();
        String device;
        try (Backend backend = Program.open()) {
            device = backend.name() + ": " + backend.description();
        }
        Files.writeString(markdown, Report.markdown(json, device));
        System.out.println("Results: " + json + " and " + markdown);
    }
}
