@echo off
rem What the log begins with: which Windows this is, and what it is called.
ver
echo %COMPUTERNAME% %PROCESSOR_ARCHITECTURE%
exit /b 0
