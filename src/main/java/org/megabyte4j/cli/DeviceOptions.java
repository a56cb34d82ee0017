package org.megabyte4j.cli;

import java.util.Locale;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.cuda.Blas;
import org.megabyte4j.backend.cuda.Tuning;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** Where a command computes. */
final class DeviceOptions {
    @Option(names = "--device", paramLabel = "DEVICE", defaultValue = "auto",
            description = "Where to compute: cpu, cuda (or cuda:1, the second GPU), or auto, which is a GPU where one"
                    + " can be used and else the CPU; default ${DEFAULT-VALUE}.")
    private String device;

    @Option(names = "--blas", paramLabel = "LIBRARY", defaultValue = "auto",
            description = "What computes the matrix products of a GPU: cublaslt, jcublas, or auto, which is cublaslt"
                    + " where it loads; default ${DEFAULT-VALUE}.")
    private String blas;

    @Option(names = "--tune", paramLabel = "WHEN", defaultValue = "on", description = "Whether choices that only a GPU"
            + " itself can make, such as which kernel, are measured before the first step: on, each once, and noted in"
            + " a file; again, anew; off, never; default ${DEFAULT-VALUE}.")
    private String tune;

    @Option(names = "--threads", paramLabel = "N",
            description = "Threads of the CPU; default is one for each processor.")
    private Integer threads;

    @Spec(Spec.Target.MIXEE)
    private CommandSpec command;

    /** The caller closes it. */
    Backend open() {
        return open(null);
    }

    /** As {@link #open()} for a run that goes on, with the threads it had asked for if none are asked for now. */
    Backend open(Integer storedThreads) {
        Integer asked = askedFor(storedThreads);
        if (!Devices.isName(device)) {
            throw new ParameterException(command.commandLine(), "unknown device " + device + "; the devices are auto,"
                    + " cpu, cuda and cuda:N, N being the number of a GPU");
        }
        if (!Blas.NAMES.contains(blas.toLowerCase(Locale.ROOT))) {
            throw new ParameterException(command.commandLine(), "unknown library " + blas + "; --blas takes "
                    + String.join(", ", Blas.NAMES));
        }
        if (!Tuning.NAMES.contains(tune.toLowerCase(Locale.ROOT))) {
            throw new ParameterException(command.commandLine(), "unknown tuning " + tune + "; --tune takes "
                    + String.join(", ", Tuning.NAMES));
        }
        return Devices.ofThisMachine().open(device, Blas.of(blas), Tuning.of(tune),
                () -> asked == null ? threads() : asked, sentence -> command.commandLine().getErr().println("Note: " + sentence + "."));
    }

    /** How many threads are asked for, now or before; null for one for each processor. */
    Integer askedFor(Integer stored) {
        return threads == null ? stored : threads;
    }

    /** How many threads the CPU backend takes. */
    int threads() {
        return threads == null ? Runtime.getRuntime().availableProcessors() : threads;
    }
}
