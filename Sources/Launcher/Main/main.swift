import Glibc
import LauncherCore

exit(Launcher.run(arguments: Array(CommandLine.arguments.dropFirst())))
