package org.megabyte4j.cli;

import java.util.Locale;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.cpu.CpuBackend;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** Where a command computes. */
final class DeviceOptions {
    @Option(names = "--device", paramLabel = "DEVICE", defaultValue = "auto",
            description = "Where to compute: auto or cpu; default ${DEFAULT-VALUE}.")
    private String device;

    @Option(names = "--threads", paramLabel = "N", description = "Threads of the CPU; default is one for each processor.")
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
        return switch (device.toLowerCase(Locale.ROOT)) {
            case "auto", "cpu" -> CpuBackend.open(asked == null ? threads() : asked);
            case "cuda", "simulated" -> throw wrong("this build of megabyte4j has no device " + device
                    + ", it computes on the CPU; use --device cpu");
            default -> throw wrong("unknown device " + device + "; the devices are auto and cpu");
        };
    }

    /** How many threads are asked for, now or before; null for one for each processor. */
    Integer askedFor(Integer stored) {
        return threads == null ? stored : threads;
    }

    /** How many threads the CPU backend takes. */
    int threads() {
        return threads == null ? Runtime.getRuntime().availableProcessors() : threads;
    }

    private ParameterException wrong(String sentence) {
        return new ParameterException(command.commandLine(), sentence);
    }
}
