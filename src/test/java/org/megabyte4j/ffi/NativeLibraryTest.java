package org.megabyte4j.ffi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.FunctionDescriptor;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class NativeLibraryTest {
    @Test
    void aMissingLibraryNamesEachCandidateWithTheReasonAndTheRemedy(@TempDir Path folder) throws Exception {
        Path text = Files.writeString(folder.resolve("libtext.so"), "not a library");
        List<String> candidates = List.of("libnowhere-to-be-found.so", text.toString());
        assertThatThrownBy(() -> NativeLibrary.open("Something", candidates, "install something"))
                .isInstanceOf(MissingLibraryException.class)
                .hasMessageStartingWith("Something cannot be loaded; libnowhere-to-be-found.so: ")
                .hasMessageContaining("; " + text + ": ")
                .hasMessageEndingWith("; install something");
    }

    @Test
    void aMissingFunctionIsNamed() {
        String location = OpenBlas.open().location();
        NativeLibrary library = NativeLibrary.open("OpenBLAS", List.of(location), "");
        assertThat(library.function("cblas_sgemm", FunctionDescriptor.ofVoid())).isNotNull();
        assertThatThrownBy(() -> library.function("no_such_function", FunctionDescriptor.ofVoid()))
                .isInstanceOf(MissingLibraryException.class)
                .hasMessage(location + " has no function no_such_function; it is not the library that was expected");
    }
}
