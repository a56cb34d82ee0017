package org.megabyte4j.cli;

import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.verify.Check;
import org.megabyte4j.verify.Verifier;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code megabyte4j verify}: holds this installation, or a converted model, against the original. */
@Command(name = "verify", description = {
    "Compares with recorded results of the original, and fails if anything is beyond its tolerance.",
    "A folder holds config.json and model.safetensors with io.safetensors (a forward and backward pass),"
            + " generation.json or curve.json (a training run), or optimizer.json with steps.safetensors."})
public final class VerifyCommand implements Callable<Integer> {
    @Parameters(arity = "1..*", paramLabel = "DIR", description = "Folders with recorded results.")
    private List<Path> folders;

    @Option(names = "--data", paramLabel = "DIR",
            description = "The folder of the texts that training runs read; default is ../../data beside each DIR.")
    private Path data;

    @Mixin
    private PrecisionOptions precision;

    @Mixin
    private DeviceOptions device;

    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        PrintWriter err = spec.commandLine().getErr();
        int failures = 0;
        int passes = 0;
        try (Backend backend = device.open()) {
            DType dtype = precision.on(backend);
            out.println("device " + backend.name() + " in " + dtype.label() + ": " + backend.description());
            Verifier verifier = new Verifier(backend, dtype, data, err::println);
            for (Path folder : folders) {
                out.printf("%n%s%n  %-58s %10s %10s%n", folder, "", "error", "tolerance");
                try {
                    for (Check check : verifier.verify(folder)) {
                        out.printf(Locale.ROOT, "  %-58s %10.2e %10.0e  %s%n", check.name(), check.error(),
                                check.tolerance(), check.passed() ? "ok" : "FAILED");
                        failures += check.passed() ? 0 : 1;
                        passes += check.passed() ? 1 : 0;
                    }
                } catch (MegabyteException e) {
                    failures++;
                    out.println("  FAILED: " + e.getMessage());
                }
                out.flush();
            }
        }
        out.printf("%n%d within tolerance, %d not%n", passes, failures);
        return failures == 0 ? 0 : 1;
    }
}
