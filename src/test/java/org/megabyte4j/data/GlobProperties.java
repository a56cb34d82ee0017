package org.megabyte4j.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.FileSystems;
import java.nio.file.Path;
import java.nio.file.PathMatcher;
import java.util.ArrayList;
import java.util.List;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.Tuple;

/** Globs against the JDK's own, which agree wherever {@code **}{@code /} need not match nothing. */
class GlobProperties {
    private static boolean matches(String glob, String name) {
        return new Glob(glob).matches(name);
    }

    /** Letters few enough that random names match random globs now and then. */
    @Provide
    Arbitrary<String> names() {
        return Arbitraries.of("a", "b", "ab", "a.b", "ba", "c", "-", "é", "b😀").list().ofMinSize(1).ofMaxSize(4)
                .map(parts -> String.join("/", parts));
    }

    @Provide
    Arbitrary<String> globs() {
        Arbitrary<String> atoms = Arbitraries.frequencyOf(
                Tuple.of(6, Arbitraries.of("a", "b", "é", "/", ".", "-", "😀")),
                Tuple.of(4, Arbitraries.of("*", "?", "**/", "**")),
                Tuple.of(3, Arbitraries.of("[ab]", "[!a]", "[a-b]", "[.c]", "[!b-c]", "[a-]", "[é😀]")),
                Tuple.of(2, Arbitraries.of("{a,b}", "{ab,a.b,c}", "{a,}", "{*,?b}", "{[ab],a/b}", "{a/**,b}")));
        // Stars side by side read differently here and there, and mean nothing sensible.
        return atoms.list().ofMinSize(1).ofMaxSize(6).map(parts -> String.join("", parts))
                .filter(glob -> !glob.contains("***") && !glob.contains("**/**/") && !glob.contains("/**/}"));
    }

    /** Each way to keep a double star with its slash or to leave it out. */
    private static List<String> withAndWithout(String glob) {
        int at = glob.indexOf("**/");
        if (at < 0) {
            return List.of(glob);
        }
        List<String> all = new ArrayList<>();
        for (String rest : withAndWithout(glob.substring(at + 3))) {
            all.add(glob.substring(0, at) + "**/" + rest);
            all.add(glob.substring(0, at) + rest);
        }
        return all;
    }

    @Property(tries = 4000)
    void globsMatchAsTheJdksDo(@ForAll("globs") String glob, @ForAll("names") String name) {
        boolean expected = withAndWithout(glob).stream().filter(one -> !one.isEmpty())
                .map(one -> FileSystems.getDefault().getPathMatcher("glob:" + one))
                .anyMatch((PathMatcher matcher) -> matcher.matches(Path.of(name)));
        assertThat(matches(glob, name)).as(glob + " and " + name).isEqualTo(expected);
    }

    @Property(tries = 1000)
    void aNameMatchesItselfOnceItsSpecialCharactersAreQuoted(@ForAll String name) {
        var glob = new StringBuilder();
        name.codePoints().forEach(c -> glob.append("*?[{".indexOf(c) >= 0 ? "[" + Character.toString(c) + "]"
                : Character.toString(c)));
        assertThat(matches(glob.toString(), name)).isTrue();
        assertThat(matches(glob.toString(), name + "x")).isFalse();
    }

    /** Whatever stands in a glob, it is used or refused with a sentence. */
    @Property(tries = 3000)
    void noGlobFailsInAnotherWay(@ForAll("punctuation") String glob) {
        try {
            new Glob(glob).matches("a/b");
        } catch (DataException e) {
            assertThat(e).hasMessageStartingWith("the glob \"" + glob + "\" is malformed: ")
                    .hasMessageEndingWith("; use a pattern such as **/*.txt");
        }
    }

    @Provide
    Arbitrary<String> punctuation() {
        return Arbitraries.strings().withChars("*?[]{},!-^&\\/a().+|$Q E").ofMaxLength(12);
    }

    @Example
    void aSlashIsOnlyCrossedByTwoStars() {
        assertThat(matches("*.txt", "a.txt")).isTrue();
        assertThat(matches("*.txt", "b/a.txt")).isFalse();
        assertThat(matches("a?b", "a/b")).isFalse();
        assertThat(matches("a[!x]b", "a/b")).isFalse();
        assertThat(matches("a[.-0]b", "a/b")).isFalse();
        assertThat(matches("**.txt", "c/b/a.txt")).isTrue();
    }

    @Example
    void twoStarsAndASlashAreAlsoNothing() {
        for (String name : List.of("a.txt", "b/a.txt", "c/b/a.txt")) {
            assertThat(matches("**/*.txt", name)).as(name).isTrue();
            assertThat(matches("**/a.txt", name)).as(name).isTrue();
        }
        assertThat(matches("**/a.txt", "ba.txt")).isFalse();
        assertThat(matches("b/**/a.txt", "b/a.txt")).isTrue();
        assertThat(matches("b/**/a.txt", "b/c/d/a.txt")).isTrue();
        assertThat(matches("b/**", "b/c/d")).isTrue();
    }

    @Example
    void everythingElseIsItself() {
        assertThat(matches("a+(b)|$^\\.}", "a+(b)|$^\\.}")).isTrue();
        assertThat(matches("a.b", "aXb")).isFalse();
        assertThat(matches("\\Qa\\E", "a")).isFalse();
        assertThat(matches("a,b", "a,b")).isTrue();
        assertThat(matches("[]]", "]")).isTrue();
        assertThat(matches("[*?{]", "{")).isTrue();
        assertThat(matches("*.TXT", "a.txt")).isFalse();
        assertThat(matches("{a,b{c,d}}", "bd")).isTrue();
    }

    @Example
    void whatIsMalformedIsNamed() {
        assertThatThrownBy(() -> new Glob("*.{txt,md")).isInstanceOf(DataException.class)
                .hasMessage("the glob \"*.{txt,md\" is malformed: a { without its }; use a pattern such as **/*.txt");
        assertThatThrownBy(() -> new Glob("a[b")).isInstanceOf(DataException.class)
                .hasMessage("the glob \"a[b\" is malformed: a [ without its ]; use a pattern such as **/*.txt");
        assertThatThrownBy(() -> new CorpusSource(List.of(Path.of("x")), List.of("[z-a]")))
                .isInstanceOf(DataException.class).hasMessage("the glob \"[z-a]\" is malformed: Illegal character"
                        + " range; use a pattern such as **/*.txt");
    }
}
