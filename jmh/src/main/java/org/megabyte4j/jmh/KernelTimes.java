package org.megabyte4j.jmh;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.megabyte4j.backend.Rates;
import org.megabyte4j.backend.cuda.CudaBackend;
import org.megabyte4j.tensor.DType;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Times every operation on a GPU, beside what that could do at best; writes {@code kernels.json} and {@code .md}. */
@Command(name = "kernel-times", mixinStandardHelpOptions = true, description = "Times every operation on a GPU.")
public final class KernelTimes implements Callable<Integer> {
    @Option(names = "--device", defaultValue = "cuda", description = "cuda or simulated; default ${DEFAULT-VALUE}.")
    private String device;

    @Option(names = "--sizes", defaultValue = "benchmark",
            description = "benchmark, or tiny for the simulated device; default ${DEFAULT-VALUE}.")
    private String sizes;

    @Option(names = "--only", defaultValue = "", description = "Operations whose names contain this; default all.")
    private String only;

    @Option(names = "--replays", defaultValue = "21",
            description = "How often each is timed; default ${DEFAULT-VALUE}.")
    private int replays;

    @Option(names = "--out", defaultValue = ".", description = "Folder of the results.")
    private Path out;

    public static void main(String[] args) {
        System.exit(new CommandLine(new KernelTimes()).execute(args));
    }

    @Override
    public Integer call() throws IOException {
        KernelSizes chosen = KernelSizes.named(sizes);
        int failures = 0;
        try (CudaBackend backend = Program.openGpu(device)) {
            KernelTimer timer = new KernelTimer(backend, chosen.rotation(), replays);
            KernelReport report = new KernelReport(backend.description(), backend.name().equals("simulated"),
                    Map.of(DType.F32, rates(backend, DType.F32, chosen), DType.BF16, rates(backend, DType.BF16, chosen)));
            for (DType dtype : List.of(DType.F32, DType.BF16)) {
                for (KernelCase work : KernelCases.of(chosen, dtype)) {
                    if (work.operation().contains(only)) {
                        failures += measure(work, timer, report) ? 0 : 1;
                        write(report);
                    }
                }
            }
        }
        return failures == 0 ? 0 : 1;
    }

    private static Rates rates(CudaBackend backend, DType dtype, KernelSizes sizes) {
        return Rates.measure(backend, dtype, sizes.product(), sizes.copyBytes());
    }

    /** One that fails does not keep the others. */
    private static boolean measure(KernelCase work, KernelTimer timer, KernelReport report) {
        try {
            report.add(work, timer.time(work));
            return true;
        } catch (RuntimeException e) {
            System.err.println(work.operation() + " " + work.shape() + " " + work.dtype().label() + ": " + e);
            report.addFailure(work, String.valueOf(e.getMessage()));
            return false;
        }
    }

    /** After each case, so that a run that is cut off keeps what it has. */
    private void write(KernelReport report) throws IOException {
        Files.createDirectories(out);
        new ObjectMapper().writerWithDefaultPrettyPrinter()
                .writeValue(out.resolve("kernels.json").toFile(), report.json());
        Files.writeString(out.resolve("kernels.md"), KernelReport.markdown(report.json()));
    }
}
